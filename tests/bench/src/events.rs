//! Reads a stream of server-sent events as it arrives and times the engine's stamps.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where a chunk's text says when the engine sent it, in nanoseconds since 1970.
pub const STAMP: &str = "ts=";

/// Nanoseconds since 1970: the clock that engine and load share.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// What one stream has brought so far.
#[derive(Debug, Default)]
pub struct Events {
    /// The line that has not ended yet.
    partial: Vec<u8>,
    /// Chunks with a stamp.
    pub chunks: u64,
    last_stamp: u64,
    out_of_order: bool,
    finished: bool,
    usage: bool,
    done: bool,
    error: bool,
}

impl Events {
    /// Takes the next bytes; `lag` is told, for each stamped chunk, how old its stamp is in nanoseconds.
    pub fn feed(&mut self, mut bytes: &[u8], mut lag: impl FnMut(u64)) {
        let arrived = now();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.partial.is_empty() {
                self.line(line, arrived, &mut lag);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole, arrived, &mut lag);
            }
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Why this stream is not the whole answer the engine was asked for, in order, usage and end included.
    pub fn flaw(&self, chunks: u64) -> Option<String> {
        let told = |flaw: bool, words: &str| flaw.then(|| words.to_owned());
        told(self.error, "the stream carries an error")
            .or_else(|| (self.chunks != chunks).then(|| format!("{} chunks of {chunks}", self.chunks)))
            .or_else(|| told(self.out_of_order, "chunks out of order"))
            .or_else(|| told(!self.finished, "no finish reason"))
            .or_else(|| told(!self.usage, "no usage though it was asked for"))
            .or_else(|| told(!self.done, "no [DONE]"))
    }

    fn line(&mut self, line: &[u8], arrived: u64, lag: &mut impl FnMut(u64)) {
        let Some(data) = line.strip_prefix(b"data: ") else {
            return;
        };
        if let Some(at) = find(data, STAMP.as_bytes()) {
            let stamp = number(&data[at + STAMP.len()..]);
            self.out_of_order |= stamp < self.last_stamp;
            self.last_stamp = stamp;
            self.chunks += 1;
            lag(arrived.saturating_sub(stamp));
        } else if data.starts_with(b"[DONE]") {
            self.done = true;
        } else {
            self.finished |= find(data, b"\"stop\"").is_some();
            self.usage |= find(data, b"\"total_tokens\"").is_some();
            self.error |= data.starts_with(b"{\"error\"");
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|part| part == needle)
}

fn number(digits: &[u8]) -> u64 {
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n\
        : keepalive\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"ts=7 é\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"ts=9 é\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\ndata: [DONE]\n\n";

    fn read(stream: &str, step: usize) -> (Events, usize) {
        let mut events = Events::default();
        let mut lags = 0;
        for piece in stream.as_bytes().chunks(step) {
            events.feed(piece, |_| lags += 1);
        }
        (events, lags)
    }

    #[test]
    fn a_whole_stream_is_whole_however_it_is_cut() {
        for step in 1..STREAM.len() {
            let (events, lags) = read(STREAM, step);
            assert_eq!((events.flaw(2), lags), (None, 2), "step {step}");
        }
    }

    #[test]
    fn each_missing_part_is_named() {
        let without = |part: &str| read(&STREAM.replace(part, ""), 7).0.flaw(2).unwrap_or_default();
        assert_eq!(without("data: [DONE]\n\n"), "no [DONE]");
        assert_eq!(without("\"usage\":{\"total_tokens\":3}"), "no usage though it was asked for");
        assert_eq!(without("\"finish_reason\":\"stop\""), "no finish reason");
        assert_eq!(without("ts=9"), "1 chunks of 2");
        assert_eq!(read(&STREAM.replace("ts=9", "ts=3"), 7).0.flaw(2).as_deref(), Some("chunks out of order"));
        let failed = STREAM.replace("data: [DONE]", "data: {\"error\":{}}");
        assert_eq!(read(&failed, 7).0.flaw(2).as_deref(), Some("the stream carries an error"));
    }
}
