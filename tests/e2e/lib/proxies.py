# SPDX-License-Identifier: Apache-2.0
"""Real proxies in front of a registry: nginx and haproxy."""

from . import proc


class Proxy:
    """Listens on `host`, passes on to `upstream` ("127.0.0.1:5000", or the path of a unix socket) from `source`."""

    def __init__(self, work, name, upstream, source):
        self.work, self.name, self.upstream, self.source = work, name, str(upstream), source
        self.host = f"127.0.0.1:{proc.free_port()}"
        self.daemon = None

    def start(self):
        self.daemon = proc.Daemon(self.command(), self.work / f"{self.name}.log", proc.environment(self.work))
        proc.wait_until(f"{self.name} listens", self.listens, self.daemon)
        return self

    def listens(self):
        try:
            proc.socket.create_connection(self.host.rsplit(":", 1), timeout=5).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.daemon.process.poll() is None:
            self.daemon.signal(proc.SIGTERM)
            self.daemon.wait()


class Nginx(Proxy):
    def __init__(self, work, upstream, source="127.0.0.1", name="nginx", headers=True):
        super().__init__(work, name, upstream, source)
        self.headers = headers  # False: passes on what the client sent

    def command(self):
        path = self.work / f"{self.name}.conf"
        told = """
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;""" if self.headers else ""
        unix = self.upstream.startswith("/")
        path.write_text(f"""
            daemon off; master_process off; pid {self.work}/{self.name}.pid; error_log stderr;
            events {{ }}
            http {{
                access_log off; client_max_body_size 0; client_body_temp_path {self.work}/{self.name}-body;
                proxy_temp_path {self.work}/{self.name}-proxy; fastcgi_temp_path {self.work}/x;
                uwsgi_temp_path {self.work}/x; scgi_temp_path {self.work}/x;
                server {{
                    listen {self.host};
                    location / {{
                        proxy_pass http://{f"unix:{self.upstream}:" if unix else self.upstream};
                        {"" if unix else f"proxy_bind {self.source};"}
                        proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;{told}
                    }}
                }}
            }}""")
        return ["nginx", "-c", path, "-p", self.work, "-e", "stderr"]


class Haproxy(Proxy):
    def __init__(self, work, upstream, source="127.0.0.1", name="haproxy"):
        super().__init__(work, name, upstream, source)

    def command(self):
        path = self.work / f"{self.name}.cfg"
        unix = self.upstream.startswith("/")
        path.write_text(f"""
defaults
    mode http
    timeout connect 10s
    timeout client 120s
    timeout server 120s
    option forwardfor
    option http-keep-alive
frontend in
    bind {self.host}
    default_backend registry
backend registry
    server one {f"unix@{self.upstream}" if unix else f"{self.upstream} source {self.source}"}
""")
        return ["haproxy", "-db", "-f", path]
