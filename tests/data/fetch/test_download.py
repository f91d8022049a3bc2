"""Fetching: a complete, checked folder or a clear error and nothing left behind. All sources are local."""

import dataclasses
import hashlib
import http.server
import re
import stat
import threading
import zipfile
from pathlib import Path

import pytest

from metarec_jax import data
from metarec_jax.data.fetch import archives, download
from metarec_jax.data.table import DataError

NAME = "ml-latest-small"


FILES = {
    f"{NAME}/ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,4\n",
    f"{NAME}/movies.csv": "movieId,title,genres\n2,Heat (1995),Action\n",
}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def root(tmp_path) -> Path:
    """A data directory that does not exist yet."""
    return tmp_path / "new" / "data"


@pytest.fixture
def archive(tmp_path) -> Path:
    return zipped(tmp_path, FILES)


@pytest.fixture
def served(monkeypatch):
    """A function that makes `url` the official place of a set."""

    def serve(*urls: str, name: str = NAME, **changes) -> None:
        free = {"counts": {}, "sums": ("",) * len(urls)}
        spec = dataclasses.replace(download.SPECS[name], urls=urls, **free | changes)
        monkeypatch.setitem(download.SPECS, name, spec)

    return serve


def zipped(folder: Path, files: dict[str, str]) -> Path:
    path = folder / "served.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return path


def refused(root: Path, message: str, name: str = NAME) -> None:
    """Loading fails with this one-line message, and the data directory does not exist afterwards."""
    with pytest.raises(DataError, match=message) as caught:
        data.load(name, root)
    assert "\n" not in str(caught.value)
    assert not root.parent.exists()


def test_fetches_once_and_notes_the_source(root, archive, served, caplog):
    served(archive.as_uri(), sums=(md5(archive),))
    table = data.load(NAME, root)
    assert table.item_titles.tolist() == ["Heat (1995)"]
    assert archive.as_uri() in table.source and "ACM TiiS" in table.source
    assert "no commercial use" in caplog.text and archive.as_uri() in caplog.text
    assert [p.name for p in root.iterdir()] == [NAME]
    archive.unlink()
    assert data.load(NAME, root).sha256 == table.sha256


def test_single_files_and_their_folder(root, tmp_path, served):
    urls = []
    for name, text in {"ratings.dat": "1::7::10::0\n", "movies.dat": "7::Heat (1995)::Crime\n"}.items():
        (tmp_path / name).write_text(text)
        urls.append((tmp_path / name).as_uri())
    served(*urls, name="movietweetings-100k")
    assert data.load("movietweetings-100k", root).rating.tolist() == [10]
    (tmp_path / "movies.dat").unlink()
    (root / "movietweetings-100k" / "SOURCE.txt").unlink()
    assert data.load("movietweetings-100k", root).source == str(root / "movietweetings-100k")


def test_second_of_two_files_missing_leaves_nothing(root, tmp_path, served):
    (tmp_path / "ratings.dat").write_text("1::7::10::0\n")
    served((tmp_path / "ratings.dat").as_uri(), (tmp_path / "movies.dat").as_uri(), name="movietweetings-100k")
    refused(root, "movies.dat: .*No such file.* --data_dir or METAREC_DATA_DIR", "movietweetings-100k")


def test_every_file_has_a_checksum_of_ours_or_an_address_that_cannot_change():
    for name, spec in download.SPECS.items():
        assert len(spec.sums) == len(spec.urls), name
        for url, digest in zip(spec.urls, spec.sums, strict=True):
            assert re.fullmatch("[0-9a-f]{32}|[0-9a-f]{64}", digest) or re.search("/[0-9a-f]{40}/", url), url
    for name in ("goodbooks-10k", "movietweetings-100k"):
        assert all(re.search("/[0-9a-f]{40}/", url) for url in download.SPECS[name].urls)


def test_our_checksums_are_those_of_the_files_that_we_have():
    """Where the data directory's copy is the official file: both of MovieTweetings, and the books."""
    files = {"movietweetings-100k": ("ratings.dat", "movies.dat"), "goodbooks-10k": ("", "books.csv")}
    for name, own in files.items():
        for file, expected in zip(own, download.SPECS[name].sums, strict=True):
            path = download.data_root() / name / file
            if file and not path.is_file():
                pytest.skip(f"{path} is missing: set METAREC_DATA_DIR to the folder that holds {name}")
            assert not file or hashlib.sha256(path.read_bytes()).hexdigest() == expected


def test_another_checksum(root, archive, served):
    served(archive.as_uri(), sums=("0" * 64,))
    refused(root, f"checksum of the download is {sha256(archive)}, not {'0' * 64}")


def test_more_bytes_than_a_set_has(root, tmp_path, served):
    archive = zipped(tmp_path, FILES | {f"{NAME}/bomb": "0" * 10**6})
    assert archive.stat().st_size < 3000
    served(archive.as_uri(), most=999_999)
    refused(root, r"served\.zip: it would unpack to 1,000,0\d\d bytes, which is more than 999,999")
    served(archive.as_uri(), most=1000)
    refused(root, r"served\.zip: more than 1,000 bytes, so not the official file")


def test_an_archive_with_a_password(root, archive, served):
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1  # the flag of encryption, in the directory
    archive.write_bytes(content)
    served(archive.as_uri())
    refused(root, r"served\.zip: member 'ml-latest-small/ratings.csv' is encrypted; try again, or fetch it by hand")


def test_corrupted_download(root, archive, served):
    served(archive.as_uri(), sums=(md5(archive),))
    content = bytearray(archive.read_bytes())
    content[50] ^= 1
    archive.write_bytes(content)
    refused(root, "a corrupted or edited archive; try again")


def test_truncated_archive_with_matching_checksum(root, archive, served):
    archive.write_bytes(archive.read_bytes()[:-30])
    served(archive.as_uri(), sums=(md5(archive),))
    refused(root, r"served\.zip: a damaged archive")


def test_damaged_member(root, archive, served):
    content = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        info = opened.infolist()[1]
    at = info.header_offset + 30 + len(info.filename) + 4
    archive.write_bytes(content[:at] + bytes(255 - b for b in content[at : at + 8]) + content[at + 8 :])
    served(archive.as_uri(), sums=(md5(archive),))
    refused(root, r"served\.zip: a damaged archive")


@pytest.mark.parametrize("member", ["../escaped", f"{NAME}/../../escaped", "/escaped", "..\\escaped", "C:\\x"])
def test_zip_slip(root, tmp_path, served, member):
    archive = zipped(tmp_path, FILES | {member: "x"})
    served(archive.as_uri(), sums=(md5(archive),))
    refused(root, "would be written outside")
    assert not list(tmp_path.rglob("escaped"))


def test_symbolic_link(root, archive, served):
    link = zipfile.ZipInfo(f"{NAME}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc")
    served(archive.as_uri(), sums=(md5(archive),))
    refused(root, f"member '{NAME}/link' is a symbolic link")


def test_archive_without_a_needed_file(root, tmp_path, served):
    archive = zipped(tmp_path, {name: text for name, text in FILES.items() if "movies" not in name})
    served(archive.as_uri(), sums=(md5(archive),))
    refused(root, f"no {NAME}/movies.csv in it")


def test_unreachable_names_place_url_and_flag(root, tmp_path, served):
    url = (tmp_path / "absent.zip").as_uri()
    served(url)
    refused(root, rf"{NAME} is not in {root} .*{url}.*{root}/{NAME}/ratings.csv.*--data_dir or METAREC_DATA_DIR")


class Interrupting(http.server.BaseHTTPRequestHandler):
    """Promises 1,000 bytes and hangs up after 100; knows no other page."""

    def do_GET(self):
        if self.path != "/broken.zip":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 100)

    def log_message(self, *args):
        pass


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Interrupting)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_interrupted_and_missing_downloads(root, host, served):
    served(f"{host}/broken.zip", sums=("0" * 32,))
    refused(root, "broke off after 100 of 1,000 bytes|IncompleteRead")
    served(f"{host}/moved.zip", sums=("0" * 32,))
    refused(root, "HTTP Error 404")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("bug")])
def test_nothing_is_left_when_the_program_is_stopped(root, archive, served, monkeypatch, error):
    served(archive.as_uri(), sums=(md5(archive),))

    unpack = archives.unpack

    def half(path: Path, folder: Path, most: int) -> None:
        unpack(path, folder, most)
        raise error

    monkeypatch.setattr(archives, "unpack", half)
    with pytest.raises(type(error)):
        data.load(NAME, root)
    assert not root.parent.exists()


def test_full_disk(root, archive, served, monkeypatch):
    served(archive.as_uri(), sums=(md5(archive),))

    def full(path: Path, folder: Path, most: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "unpack", full)
    refused(root, r"nothing can be written \(No space left on device\); name another data directory")


def test_data_directory_that_cannot_be_made(tmp_path, archive, served):
    served(archive.as_uri(), sums=(md5(archive),))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="nothing can be written .*--data_dir or METAREC_DATA_DIR"):
        data.load(NAME, tmp_path / "file" / "data")


def test_a_faster_process_wins(root, archive, served, monkeypatch):
    served(archive.as_uri(), sums=(md5(archive),))
    unpack = archives.unpack

    def overtaken(path: Path, folder: Path, most: int) -> None:
        unpack(path, folder, most)
        unpack(path, root, most)

    monkeypatch.setattr(archives, "unpack", overtaken)
    assert data.load(NAME, root).num_items == 1
    assert [p.name for p in root.iterdir()] == [NAME]


def test_existing_folder_is_not_touched(root, served):
    served("file:///nowhere.zip")
    (root / NAME).mkdir(parents=True)
    (root / NAME / "ratings.csv").write_text(FILES[f"{NAME}/ratings.csv"])
    with pytest.raises(DataError, match=r"has no movies\.csv; put it there, or delete the folder"):
        data.load(NAME, root)
    assert [p.name for p in (root / NAME).iterdir()] == ["ratings.csv"]
