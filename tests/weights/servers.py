"""Servers on this machine that stand for those where weights are published, with their faults."""

import hashlib
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 2**14


class FileServer:
    """Serves files, and does with some paths what is asked.

    Attributes:
        files: path -> bytes.
        redirects: path -> path.
        statuses: path -> the status codes of its next answers, before the file is sent.
        cuts: path -> after how many bytes of the file the connection is closed, in the next answers; the last
            one stays.
        ranges: whether `Range` is understood.
        pause: seconds between two pieces of a file.
        requests: (method, path, Range) of each.
    """

    def __init__(self):
        self.files, self.redirects, self.statuses, self.cuts = {}, {}, {}, {}
        self.ranges, self.pause, self.requests = True, 0.0, []

    def gets(self, path=None):
        """The requests for a file's content: their ranges."""
        return [asked for method, where, asked in self.requests if method == "GET" and path in (None, where)]

    def answer(self, handler):
        """Reply to a GET or HEAD."""
        path = handler.path.split("?")[0]
        self.requests.append((handler.command, path, handler.headers.get("Range")))
        if self.statuses.get(path):
            return self.refuse(handler, self.statuses[path].pop(0))
        if path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[path])
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        if path not in self.files:
            return self.refuse(handler, 404)
        return self.send(handler, path, self.files[path])

    def refuse(self, handler, status, headers=()):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def send(self, handler, path, data, headers=()):
        """A file, from where `Range` says, as far as `cuts` lets it."""
        asked = handler.headers.get("Range") if self.ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(data) > 0:
            return self.refuse(handler, 416)
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        if handler.command == "HEAD":
            return None
        cuts = self.cuts.get(path)
        end = len(data) if not cuts else cuts[0] if len(cuts) == 1 else cuts.pop(0)
        for place in range(start, end, PIECE):
            handler.wfile.write(data[place : min(place + PIECE, end)])
            handler.wfile.flush()
            time.sleep(self.pause)
        handler.close_connection = True
        return None


class Hub(FileServer):
    """The hub's endpoint for files, /OWNER/NAME/resolve/REVISION/FILE, as huggingface_hub asks it.

    Attributes:
        models: id -> file name -> bytes.
        branches: id -> the commit that "main" is; any other revision of 40 digits is one, too.
        hashes: (id, file name) -> the hash that the hub tells of a file in place of the true one.
        gated: ids that need a login.
    """

    COMMIT = "c0ffee" + "0" * 34

    def __init__(self):
        super().__init__()
        self.models, self.hashes, self.gated = {}, {}, set()

    def answer(self, handler):
        path = handler.path.split("?")[0]
        self.requests.append((handler.command, path, handler.headers.get("Range")))
        if self.statuses.get(path):
            return self.refuse(handler, self.statuses[path].pop(0))
        owner, name, resolve, revision, file = (path.strip("/").split("/", 4) + [""] * 5)[:5]
        model = f"{owner}/{name}"
        if model in self.gated:
            return self.refuse(handler, 403, [("X-Error-Code", "GatedRepo")])
        if model not in self.models or resolve != "resolve":
            return self.refuse(handler, 401, [("X-Error-Code", "RepoNotFound")])
        if revision != "main" and len(revision) != 40:
            return self.refuse(handler, 404, [("X-Error-Code", "RevisionNotFound")])
        commit = self.COMMIT if revision == "main" else revision
        headers = [("X-Repo-Commit", commit)]
        if file not in self.models[model]:
            return self.refuse(handler, 404, [*headers, ("X-Error-Code", "EntryNotFound")])
        data = self.models[model][file]
        told = self.hashes.get((model, file)) or hashlib.sha256(data).hexdigest()
        headers += [("X-Linked-Etag", f'"{told}"'), ("X-Linked-Size", str(len(data))), ("ETag", f'"{told}"')]
        return self.send(handler, path, data, headers)


@contextmanager
def serving(server):
    """Runs a FileServer in threads: its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):  # clients that go away, which tests make them do
            pass

    http = Server(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
