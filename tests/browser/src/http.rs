//! The subset of HTTP that a local driver needs: one request per connection, with JSON bodies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::window::PATIENCE;

/// Sends `body` (an empty one if null) and returns the answer's `value`.
pub(crate) fn request(port: u16, method: &str, path: &str, body: &Value) -> Result<Value> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("the driver does not answer")?;
    stream.set_read_timeout(Some(PATIENCE)).context("cannot set the socket's time-out")?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        &stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .context("cannot send the request to the driver")?;

    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).context("the driver did not answer")?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().context("the driver's answer has no length")?;
        }
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer).context("the driver's answer is incomplete")?;
    let mut answer: Value = serde_json::from_slice(&answer).context("the driver's answer is not JSON")?;
    let value = answer["value"].take();
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        bail!("{method} {path}: {error}: {}", value["message"].as_str().unwrap_or_default());
    }
    Ok(value)
}
