//! A server of static files for this machine only: GET and HEAD, with the headers that the page needs.
//!
//! Hand-written, because it is small and because the tests depend on its headers, its check of the Host header and its
//! choice of compressed files.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The page may run its own code and connect to its own origin. It gives a song that the browser decodes to a media
/// element as a blob, to read the song's length. The HTML files contain the same policy in a `<meta>`, for hosts that
/// send no headers. A `<meta>` cannot contain `frame-ancestors`, and it does not apply to workers.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; media-src blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Maximum number of bytes of a request, including its headers.
const LONGEST_REQUEST: u64 = 64 << 10;

/// Serves a folder.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// Listens on the loopback interface. Port 0 selects a free port.
    pub(crate) fn bind(folder: &Path, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} is not available; choose another with --port"))?;
        let address = listener.local_addr().context("the socket has no address")?;
        Ok(Self { listener, address, folder: folder.to_owned() })
    }

    /// The address of the page.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves until the process ends.
    pub(crate) fn run(self) {
        for stream in self.listener.incoming().flatten() {
            let (folder, port) = (self.folder.clone(), self.address.port());
            // A browser that closes the connection early is not an error.
            thread::spawn(move || answer(&stream, &folder, port).ok());
        }
    }
}

fn answer(stream: &TcpStream, folder: &Path, port: u16) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut lines = BufReader::new(stream.take(LONGEST_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let response = respond(&request, &headers, folder, port);
    let mut stream = stream;
    stream.write_all(response.head.as_bytes())?;
    stream.write_all(&response.body)
}

struct Response {
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn refusal(status: &str) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        Self { head, body: Vec::new() }
    }
}

fn respond(request: &str, headers: &[(String, String)], folder: &Path, port: u16) -> Response {
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
    // Refuses other sites whose names resolve to this machine (DNS rebinding).
    if ![format!("127.0.0.1:{port}"), format!("localhost:{port}")].contains(&header("host").to_owned()) {
        return Response::refusal("421 Misdirected Request");
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !matches!(method, "GET" | "HEAD") {
        return Response::refusal("405 Method Not Allowed");
    }
    let Some(path) = path_of(target) else { return Response::refusal("404 Not Found") };
    let mut file = folder.join(&path);
    if file.is_dir() {
        if !target.split('?').next().unwrap_or_default().ends_with('/') {
            let head = format!(
                "HTTP/1.1 308 Permanent Redirect\r\nLocation: /{}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                path.display()
            );
            return Response { head, body: Vec::new() };
        }
        file = file.join("index.html");
    }
    let accepts = |coding: &str| {
        let mut codings = header("accept-encoding").split(',');
        codings.any(|accepted| accepted.split(';').next().is_some_and(|name| name.trim() == coding))
    };
    let compressed = [("br", "br"), ("gzip", "gz")].into_iter().filter(|(coding, _)| accepts(coding));
    let compressed = compressed.map(|(coding, ending)| (coding, with_ending(&file, ending)));
    let found = compressed
        .chain([("", file.clone())])
        .find_map(|(coding, path)| Some((coding, fs::read(path).ok()?)));
    let Some((coding, body)) = found else { return Response::refusal("404 Not Found") };
    let encoding = if coding.is_empty() { String::new() } else { format!("Content-Encoding: {coding}\r\n") };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\n{encoding}Content-Length: {}\r\nVary: Accept-Encoding\r\n\
         Cache-Control: no-cache\r\nContent-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n",
        media_type(&file),
        body.len()
    );
    Response { head, body: if method == "HEAD" { Vec::new() } else { body } }
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// The path in the folder that a request names; `None` if it would leave the folder. Escapes are refused, because no
/// file of the page needs them.
fn path_of(target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let plain = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(name) if !name.to_string_lossy().starts_with('.')));
    (plain && !path.contains(['%', '\\'])).then(|| path.into())
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" | "webmanifest" => "application/json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "flac" => "audio/flac",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(request: &str, headers: &[(&str, &str)]) -> Response {
        // One folder for each request, because tests run in parallel.
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::create_dir(folder.join("sub")).expect("a folder");
        fs::write(folder.join("a.wasm"), "plain").expect("a file");
        fs::write(folder.join("a.wasm.br"), "small").expect("a file");
        fs::write(folder.join("sub/index.html"), "page").expect("a file");
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        respond(request, &headers, folder, 80)
    }

    const HOST: (&str, &str) = ("host", "localhost:80");

    #[test]
    fn a_module_has_its_type_and_policy_and_is_compressed_if_accepted() {
        let plain = served("GET /a.wasm HTTP/1.1", &[HOST]);
        assert_eq!(plain.body, b"plain");
        for part in ["200 OK", "application/wasm", "default-src 'none'"] {
            assert!(plain.head.contains(part), "{}", plain.head);
        }
        let small = served("GET /a.wasm?x HTTP/1.1", &[HOST, ("accept-encoding", "gzip, br;q=1")]);
        assert_eq!(small.body, b"small");
        assert!(small.head.contains("Content-Encoding: br"), "{}", small.head);
        assert!(served("HEAD /a.wasm HTTP/1.1", &[HOST]).body.is_empty());
    }

    #[test]
    fn a_folder_is_its_index_and_its_path_ends_with_a_slash() {
        assert_eq!(served("GET /sub/ HTTP/1.1", &[HOST]).body, b"page");
        assert!(served("GET /sub HTTP/1.1", &[HOST]).head.contains("Location: /sub/"));
    }

    #[test]
    fn other_hosts_other_methods_and_other_folders_are_refused() {
        let status = |request: &str, host: &str| served(request, &[("host", host)]).head[9..12].to_owned();
        assert_eq!(status("GET /a.wasm HTTP/1.1", "evil.example"), "421");
        assert_eq!(status("POST /a.wasm HTTP/1.1", "localhost:80"), "405");
        for path in ["/../a.wasm", "/sub/../../x", "//etc/passwd", "/%2e%2e/x", "/.hidden", "x", ""] {
            assert_eq!(status(&format!("GET {path} HTTP/1.1"), "localhost:80"), "404", "{path}");
        }
    }
}
