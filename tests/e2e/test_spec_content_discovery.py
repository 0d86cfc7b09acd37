# SPDX-License-Identifier: Apache-2.0
"""distribution-spec, "Content Discovery", "Listing Tags": each test a requirement of it."""

import concurrent.futures
import re

import pytest

from lib import spec

pytestmark = pytest.mark.ours
TAGS = ["0", "1", "1.0", "10", "2", "A", "B", "Z", "_", "a", "a-b", "a.b", "a_b", "aa", "b", "latest", "z" * 128]
NEXT = re.compile(r'<([^>]+)>; ?rel="?next"?')


@pytest.fixture(scope="module")
def tagged(shared):
    """A repository that has TAGS, pushed in another order."""
    api, repo = spec.Strict(shared("spec").host), "spec/discovery/tagged"
    content = spec.manifest("sha256", "tagged")
    for tag in sorted(TAGS, key=lambda t: t[::-1]):
        spec.push(api, content, repo, tag).expect(201)
    return repo


def follow(api, path):
    """The pages that the Link headers lead to."""
    pages = []
    while path:
        reply = api.get(path).expect(200)
        pages.append(reply.json()["tags"] or [])
        link = reply.headers["Link"]
        path = NEXT.fullmatch(link).group(1) if link else None
    return pages


class TestListingTags:
    def test_the_list_is_200_with_name_and_tags_in_order(self, api, tagged):
        reply = api.get(f"/v2/{tagged}/tags/list").expect(200)
        assert reply.headers["Content-Type"].split(";")[0] == "application/json"
        assert reply.json() == {"name": tagged, "tags": TAGS}
        assert reply.headers["Link"] is None

    def test_an_unknown_repository_is_404(self, api, repo):
        assert api.get(f"/v2/{repo}/tags/list").expect(404).error_codes() == ["NAME_UNKNOWN"]

    def test_a_repository_without_tags_has_an_empty_list(self, api, repo):
        """ "The list of tags MAY be empty"."""
        spec.push(api, spec.manifest("sha256", "untagged"), repo).expect(201)
        assert api.get(f"/v2/{repo}/tags/list").expect(200).json()["tags"] in ([], None)

    @pytest.mark.parametrize("number", [1, 2, 5, len(TAGS) - 1, len(TAGS), len(TAGS) + 1, 1000])
    def test_n_is_the_number_of_tags_on_a_page(self, api, tagged, number):
        """No fewer than n, but for the last page; each tag once, in order."""
        pages = follow(api, f"/v2/{tagged}/tags/list?n={number}")
        assert [tag for page in pages for tag in page] == TAGS
        assert all(len(page) == number for page in pages[:-1])

    @pytest.mark.parametrize("number", [1, 2, 5, len(TAGS), 1000])
    def test_last_leads_from_page_to_page_as_well(self, api, tagged, number):
        """As clients page that do not know the Link."""
        found = page = api.get(f"/v2/{tagged}/tags/list?n={number}").json()["tags"]
        while len(page) == number:
            page = api.get(f"/v2/{tagged}/tags/list?n={number}&last={page[-1]}").expect(200).json()["tags"] or []
            found = found + page
        assert found == TAGS

    def test_a_link_comes_only_when_there_is_more(self, api, tagged):
        """RFC 8288, rel="next"."""
        link = api.get(f"/v2/{tagged}/tags/list?n=3").headers["Link"]
        assert NEXT.fullmatch(link)
        for query in (f"n={len(TAGS)}", "n=1000", f"n=3&last={TAGS[-4]}", f"last={TAGS[0]}"):
            assert api.get(f"/v2/{tagged}/tags/list?{query}").headers["Link"] is None, query

    def test_n_of_zero_is_an_empty_list_without_a_link(self, api, tagged):
        for query in ("n=0", "n=0&last=a"):
            reply = api.get(f"/v2/{tagged}/tags/list?{query}").expect(200)
            assert reply.json()["tags"] == [] and reply.headers["Link"] is None

    @pytest.mark.parametrize("last", TAGS)
    def test_last_is_not_in_the_list_and_what_comes_after_it_is(self, api, tagged, last):
        after = TAGS[TAGS.index(last) + 1:]
        assert (api.get(f"/v2/{tagged}/tags/list?last={last}").expect(200).json()["tags"] or []) == after
        assert (api.get(f"/v2/{tagged}/tags/list?n=2&last={last}").expect(200).json()["tags"] or []) == after[:2]

    @pytest.mark.parametrize("last", ["00", "3", "C", "ab", "m", "zzz", "{"])
    def test_last_need_not_exist(self, api, tagged, last):
        """It may have been deleted since the page before."""
        found = api.get(f"/v2/{tagged}/tags/list?last={last}").expect(200).json()["tags"] or []
        assert found == [tag for tag in TAGS if tag > last]

    @pytest.mark.parametrize("number", ["x", "-1", "1.5", "1e3", "0x10", "%20"])
    def test_n_that_is_no_number_is_400(self, api, tagged, number):
        assert api.get(f"/v2/{tagged}/tags/list?n={number}").expect(400).error_codes()

    def test_a_new_tag_is_listed_at_once_and_a_moved_one_stays(self, api, repo):
        for n, tag in enumerate(("m", "a", "z", "m")):
            spec.push(api, spec.manifest("sha256", f"listed {n}"), repo, tag).expect(201)
        assert api.tags(repo) == ["a", "m", "z"]

    def test_what_was_acknowledged_is_in_the_next_list(self, api, repo):
        """However quickly pushes, deletions and lists follow each other."""
        content, there = spec.index("sha256", []), set()
        for n in range(60):
            api.put_manifest(repo, f"t{n % 20}", content.manifest, content.media_type).expect(201)
            there.add(f"t{n % 20}")
            assert api.tags(repo) == sorted(there)
            if n % 3 == 2:
                api.delete(f"/v2/{repo}/manifests/t{n % 20}").expect(202)
                there.remove(f"t{n % 20}")
                assert (api.tags(repo) or []) == sorted(there)

    def test_tags_from_several_clients_at_once_are_all_listed(self, api, repo):
        content = spec.index("sha256", [])

        def work(first):
            for n in range(first, 80, 8):
                api.put_manifest(repo, f"t{n:02}", content.manifest, content.media_type).expect(201)
                assert f"t{n:02}" in api.tags(repo)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert api.tags(repo) == [f"t{n:02}" for n in range(80)]

    def test_repositories_below_are_not_mixed_up(self, api, repo):
        for name, tag in ((repo, "here"), (f"{repo}/below", "there"), (f"{repo}-beside", "elsewhere")):
            spec.push(api, spec.index("sha256", []), name, tag).expect(201)
        assert api.tags(repo) == ["here"] and api.tags(f"{repo}/below") == ["there"]

    def test_a_list_goes_on_while_tags_are_added(self, api, repo):
        """A client that pages sees every tag that was there all the time, once."""
        content = spec.index("sha256", [])
        for n in range(0, 20, 2):
            spec.push(api, content, repo, f"t{n:02}").expect(201)
        found, path = [], f"/v2/{repo}/tags/list?n=3"
        for n in range(1, 100, 2):
            reply = api.get(path).expect(200)
            found += reply.json()["tags"]
            if not reply.headers["Link"]:
                break
            path = NEXT.fullmatch(reply.headers["Link"]).group(1)
            spec.push(api, content, repo, f"t{n:02}").expect(201)
        assert found == sorted(set(found)) and set(found) >= {f"t{n:02}" for n in range(0, 20, 2)}
