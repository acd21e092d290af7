//! The little of HTTP that a driver on this machine speaks: one request a connection, JSON both ways.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::PATIENCE;

/// Sends `body` (nothing, if null) and gives the answer's `value`.
pub(crate) fn request(port: u16, method: &str, path: &str, body: &Value) -> Result<Value> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("the driver does not answer")?;
    stream.set_read_timeout(Some(PATIENCE)).context("a socket without a clock")?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        &stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .context("the driver takes no request")?;

    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).context("the driver gave no answer")?;
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
    reader.read_exact(&mut answer).context("the driver's answer breaks off")?;
    let mut answer: Value = serde_json::from_slice(&answer).context("the driver's answer is not JSON")?;
    let value = answer["value"].take();
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        bail!("{method} {path}: {error}: {}", value["message"].as_str().unwrap_or_default());
    }
    Ok(value)
}
