//! What every request to one place of an engine begins with, written once.

use std::fmt;
use std::io::Write;

use http::{HeaderValue, Method, header};

use crate::layers::REQUEST_ID;

/// The request line and the headers that do not change. Holds the engine's key.
pub struct Opening(Vec<u8>);

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening")
    }
}

impl Opening {
    /// `path` is absolute, with its query.
    pub fn new(method: &Method, path: &str, host: &HeaderValue, authorization: Option<&HeaderValue>) -> Opening {
        let mut text = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        field(&mut text, header::HOST.as_str(), host);
        if let Some(authorization) = authorization {
            field(&mut text, header::AUTHORIZATION.as_str(), authorization);
        }
        Opening(text)
    }

    /// A whole head, with the id of a request, for a JSON body of `size` bytes or for none.
    pub fn head(&self, id: Option<&HeaderValue>, size: Option<usize>) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.0.len() + 256);
        text.extend_from_slice(&self.0);
        if let Some(id) = id {
            field(&mut text, REQUEST_ID.as_str(), id);
        }
        if let Some(size) = size {
            // Writing to memory does not fail.
            let _ = write!(text, "content-type: application/json\r\ncontent-length: {size}\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}

/// A header's value holds no end of line: that is what makes it one.
fn field(text: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        text.extend_from_slice(part);
    }
}
