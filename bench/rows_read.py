# SPDX-License-Identifier: Apache-2.0
"""Pulls: manifests by tag and large blobs, beside nginx, which serves the same bytes as files."""

from results import US, at_least, at_most
from rows import Row, wrk
from servers import DockerRegistry, Nginx, NginxCopying, Roadstead, Usage

PEER = Nginx.name
MODES = {Nginx.name: "sendfile on", NginxCopying.name: "sendfile off"}


class Manifests(Row):
    name = "manifest"
    title = "Manifest GET by tag"
    method = ("wrk, one thread, keep-alive; access logs off everywhere; nginx: 2 workers, the same bytes as a file, open_file_cache. "
              "The verdicts are held against the faster nginx of the two, with sendfile on or off, by the median of its requests/s; "
              "the ratio to the other one stands beside.")
    kinds = (Roadstead, DockerRegistry, Nginx, NginxCopying)
    columns = (("rate", "requests/s", ",.0f"), ("cpu_us", "server CPU µs a request", ".1f"), ("p99_ms", "p99 ms", ".2f"),
               ("peak_mb", "peak MB", ".1f"))
    connections = (32, 256)

    def measure(self, bench, subject, samples):
        for count in self.connections:
            with Usage(subject) as usage:
                rate, requests, p99 = wrk(bench, f"http://{subject.address}{bench.seed.manifest_path}", count,
                                          1 if bench.quick else 3)
            samples.add(f"{count} connections", subject.name, rate=rate, cpu_us=usage.cpu / requests * 1e6, p99_ms=p99,
                        peak_mb=usage.peak_mb)

    def aims(self, samples):
        for count in self.connections:
            case = f"{count} connections"
            faster, slower = _by_rate(samples, case)
            for work, metric, judge, bound in (("requests/s", "rate", at_least, 0.9), ("CPU a request", "cpu_us", at_most, 1.1)):
                ratio, other = (samples.ratio(metric, (case, US), (case, peer)) for peer in (faster, slower))
                yield judge(f"manifest GET by tag, {case}: {work}", ratio, bound, "× the faster nginx").beside(
                    other, f"nginx with {MODES.get(slower)}")


def _by_rate(samples, case):
    """Both nginx, the faster first. Where one was not measured nobody knows which that is: none, so "not run"."""
    rates = {name: samples.median(case, name, "rate") for name in MODES}
    return (None, None) if None in rates.values() else sorted(rates, key=rates.get, reverse=True)


class Blobs(Row):
    name = "blob"
    title = "256 MiB blob GET"
    method = "Every client has a keep-alive connection and drops what it receives in the kernel (MSG_TRUNC); nginx: sendfile, tcp_nopush."
    kinds = (Roadstead, DockerRegistry, Nginx)
    columns = (("rate", "GB/s", ".2f"), ("cpu_gb", "server CPU s a GB", ".3f"), ("first_ms", "slowest first byte ms", ".1f"),
               ("peak_mb", "peak MB", ".1f"))
    round_factor = 2.0  # the bounds are close to 1, so more rounds
    clients = (1, 16)

    def measure(self, bench, subject, samples):
        for count in self.clients:
            pulls = (2 if bench.quick else 10) if count == 1 else (1 if bench.quick else 2)
            with Usage(subject) as usage:
                (got,) = bench.client("pull", subject.address, bench.seed.blob_path, count, pulls)
            samples.add(_clients(count), subject.name, rate=got["bytes"] / got["seconds"] / 1e9,
                        cpu_gb=usage.cpu / got["bytes"] * 1e9, first_ms=got["first_byte"] * 1e3, peak_mb=usage.peak_mb)

    def aims(self, samples):
        for count in self.clients:
            case = _clients(count)
            ours, peer = (case, US), (case, PEER)
            yield at_least(f"256 MiB blob GET, {case}: GB/s", samples.ratio("rate", ours, peer), 0.97, "× nginx")
            yield at_most(f"256 MiB blob GET, {case}: CPU a GB", samples.ratio("cpu_gb", ours, peer), 1.05, "× nginx")


def _clients(count):
    return f"{count} client" + ("s" if count > 1 else "")
