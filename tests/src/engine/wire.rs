//! HTTP/1.1 as bytes: reading requests, framing answers.

use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_HEAD: usize = 1 << 20;
const MAX_BODY: usize = 256 << 20;

/// A whole request.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) head: Bytes,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// Reads the next request of a connection; none when the peer closed between two.
pub(super) async fn read(socket: &mut TcpStream, buffer: &mut BytesMut) -> Result<Option<Request>> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > MAX_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        if socket.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
    };
    let head = buffer.split_to(end).freeze();
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(_version)) = (words.next(), words.next(), words.next()) else {
        return Err(ErrorKind::InvalidData.into());
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    };
    if header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let body = if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        chunked(socket, buffer).await?
    } else {
        let length = header("content-length").map_or(Ok(0), str::parse).map_err(Error::other)?;
        take(socket, buffer, length).await?
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target.to_owned(), None),
    };
    Ok(Some(Request { method: method.to_owned(), path, query, head, headers, body }))
}

async fn take(socket: &mut TcpStream, buffer: &mut BytesMut, length: usize) -> Result<Bytes> {
    if length > MAX_BODY {
        return Err(ErrorKind::InvalidData.into());
    }
    while buffer.len() < length {
        more(socket, buffer).await?;
    }
    Ok(buffer.split_to(length).freeze())
}

async fn chunked(socket: &mut TcpStream, buffer: &mut BytesMut) -> Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let line = loop {
            if let Some(at) = find(buffer, b"\r\n") {
                break at;
            }
            more(socket, buffer).await?;
        };
        let size = buffer.split_to(line);
        buffer.advance(2);
        let size = std::str::from_utf8(&size).map_err(Error::other)?;
        let size =
            usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(Error::other)?;
        let data = take(socket, buffer, size).await?;
        if take(socket, buffer, 2).await?[..] != *b"\r\n" {
            return Err(ErrorKind::InvalidData.into());
        }
        if size == 0 {
            return Ok(body.freeze());
        }
        body.extend_from_slice(&data);
    }
}

async fn more(socket: &mut TcpStream, buffer: &mut BytesMut) -> Result<()> {
    match socket.read_buf(buffer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Returns when the peer is gone. What it still says is kept for the next request.
pub(super) async fn gone(socket: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) {
    while buffer.len() < MAX_HEAD {
        if !socket.read_buf(buffer).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Status line and headers of an answer, with the empty line.
pub(super) fn head(status: u16, headers: &[(&str, &str)]) -> Bytes {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into()
}

/// One HTTP chunk.
pub(super) fn chunk(data: &[u8]) -> Bytes {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat().into()
}

/// The chunk that ends a body.
pub(super) const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
