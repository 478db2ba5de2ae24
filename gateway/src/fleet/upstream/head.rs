//! The head of an engine's answer.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::framing::{Framing, Malformed};

/// Most header fields of an answer.
const FIELDS: usize = 100;

/// The headers of an answer that something here reads.
const READ: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_ENCODING];

/// A head that was read, and how its body ends.
#[derive(Debug)]
pub struct Head {
    pub response: Response<()>,
    pub framing: Framing,
    /// The connection may carry another request afterwards.
    pub keep: bool,
    /// Its bytes, the empty line included.
    pub size: usize,
}

impl Head {
    /// Reads the final head at the beginning of `text`, past the interim ones; `None` when more bytes are needed.
    pub fn read(text: &Bytes) -> Result<Option<Head>, Malformed> {
        let mut start = 0;
        loop {
            match Head::one(text.get(start..).unwrap_or_default())? {
                Some(head) if head.response.status().is_informational() => start += head.size,
                Some(head) => return Ok(Some(Head { size: start + head.size, ..head })),
                None => return Ok(None),
            }
        }
    }

    fn one(text: &[u8]) -> Result<Option<Head>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut parsed = httparse::Response::new(&mut fields);
        let size = match parsed.parse(text) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed("no HTTP answer")),
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed("no status"))?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed("another protocol, unasked"));
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        let (mut length, mut coded, mut keep) = (None, false, parsed.version == Some(1));
        for field in parsed.headers.iter() {
            let is = |name: &HeaderName| field.name.eq_ignore_ascii_case(name.as_str());
            if is(&header::CONTENT_LENGTH) {
                let said = digits(field.value).ok_or(Malformed("no length"))?;
                if length.replace(said).is_some_and(|before| before != said) {
                    return Err(Malformed("two lengths"));
                }
            } else if is(&header::TRANSFER_ENCODING) {
                // Nothing but chunks was asked for, and a coding that is not read would be taken for the text.
                if coded || !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed("a transfer coding that was not asked"));
                }
                coded = true;
            } else if is(&header::CONNECTION) {
                let mut options = field.value.split(|byte| *byte == b',');
                keep &= !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            } else if let Some(name) = READ.iter().find(|name| is(name)) {
                let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed("no header"))?;
                response.headers_mut().insert(name.clone(), value);
            }
        }
        let bare = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = match (bare, coded, length) {
            (true, ..) => Framing::Length(0),
            (_, true, length) => {
                // Who says both may be misunderstood on what follows.
                keep &= length.is_none();
                Framing::chunked()
            }
            (_, _, Some(length)) => Framing::Length(length),
            (_, _, None) => Framing::Close,
        };
        Ok(Some(Head { response, framing, keep, size }))
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Malformed> {
        Head::read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn head(fields: &str) -> Head {
        read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\nbody")).unwrap().unwrap()
    }

    #[test]
    fn lengths_chunks_and_neither() {
        assert_eq!(head("Content-Length: 12\r\ncontent-type: a/b\r\n").framing.left(), Some(12));
        assert_eq!(head("Content-Length: 12\r\nContent-Length: 12\r\n").framing.left(), Some(12));
        assert!(matches!(head("transfer-encoding: Chunked\r\n").framing, Framing::Chunked(_)));
        assert!(matches!(head("server: x\r\n").framing, Framing::Close));
        assert!(!head("content-length: 3\r\ntransfer-encoding: chunked\r\n").keep);
        assert!(head("content-length: 3\r\n").keep && !head("content-length: 3\r\nconnection: x, Close\r\n").keep);
        assert_eq!(head("content-type: a/b\r\n").response.headers()["content-type"], "a/b");
        assert_eq!(head("a: b\r\n").size, "HTTP/1.1 200 OK\r\na: b\r\n\r\n".len());
    }

    #[test]
    fn interim_heads_are_stepped_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        assert!(read(text).unwrap().is_none());
        let head = read(&format!("{text}HTTP/1.1 204 No Content\r\n\r\n")).unwrap().unwrap();
        assert_eq!((head.response.status().as_u16(), head.framing.left()), (204, Some(0)));
        assert_eq!(head.size, text.len() + "HTTP/1.1 204 No Content\r\n\r\n".len());
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "<html>",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            &format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(FIELDS + 1)),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
    }
}
