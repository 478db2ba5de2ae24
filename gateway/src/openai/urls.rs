//! URLs in a request are a way in: engines fetch them from inside the network. Every string under a
//! key that ends in `url` must be `data:` or an http(s) URL whose host is allowed.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::head::Head;
use super::scan::{Scanner, Token, unquote};
use super::wire_error::WireError;

/// Top-level fields that describe formats, belong to the caller, or are read by us alone: engines
/// fetch nothing named there.
const SKIPPED: [&str; 8] =
    ["tools", "functions", "tool_choice", "response_format", "metadata", "guided_json", "structured_outputs", "prompt"];

/// What a key must hold to be of interest, `\u` standing for any letter behind an escape.
static HINTS: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| ["url", "\\u", "URL", "Url"].map(Finder::new));

/// Refuses a body that names, under any key ending in `url`, a place that engines may not fetch from.
/// `allowed` gets a lower-case host without port, brackets or final dot.
///
/// # Errors
/// [`WireError::ForbiddenUrl`].
pub fn check_urls(head: &Head<'_>, allowed: impl Fn(&str) -> bool) -> Result<(), WireError> {
    if !hinted(head.body()) {
        return Ok(());
    }
    for field in head.fields() {
        if !SKIPPED.contains(&&*field.name) {
            let json = field.raw.get();
            if names_url(field.key) || hinted(json) {
                check_value(json, names_url(field.key), &allowed)?;
            }
        }
    }
    Ok(())
}

fn hinted(json: &str) -> bool {
    HINTS.iter().any(|hint| hint.find(json.as_bytes()).is_some())
}

/// Whether a key, given with its quotes, ends in `url` or `urls`.
fn names_url(quoted: &str) -> bool {
    let Some(name) = unquote(quoted) else { return false };
    let name = name.strip_suffix(['s', 'S']).unwrap_or(&name);
    name.len().checked_sub(3).and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case("url"))
}

fn check_value(json: &str, is_url: bool, allowed: &impl Fn(&str) -> bool) -> Result<(), WireError> {
    // What each open array or object is the value of; inside an object every key speaks for itself.
    let mut arrays: Vec<bool> = Vec::new();
    let mut next = is_url;
    for token in Scanner::new(json) {
        match token {
            Token::Key(key) => {
                next = names_url(key);
                continue;
            }
            Token::ObjectStart => {
                arrays.push(false);
                next = false;
                continue;
            }
            Token::ArrayStart => {
                arrays.push(next);
                continue;
            }
            Token::ObjectEnd | Token::ArrayEnd => {
                arrays.pop();
            }
            Token::String(quoted) if next => check_url(&unquote(quoted).unwrap_or_default(), allowed)?,
            Token::String(_) | Token::Scalar => {}
        }
        next = arrays.last().copied().unwrap_or(false);
    }
    Ok(())
}

fn forbidden(what: &str) -> WireError {
    let shown = what.chars().filter(|c| !c.is_control()).take(100).collect();
    WireError::ForbiddenUrl { host: shown }
}

/// Reads a URL no more cleverly than the least clever engine: anything that two parsers could
/// understand differently is refused.
fn check_url(url: &str, allowed: &impl Fn(&str) -> bool) -> Result<(), WireError> {
    let url = url.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let Some((scheme, rest)) = url.split_once(':') else { return Err(forbidden("")) };
    if scheme.eq_ignore_ascii_case("data") {
        return Ok(());
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        let named = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        return Err(forbidden(if named { url.get(..=scheme.len()).unwrap_or("") } else { "" }));
    }
    let Some(rest) = rest.strip_prefix("//") else { return Err(forbidden("")) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let confusing =
        |c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '@' | '%' | '<' | '>' | '^' | '|');
    if !authority.is_ascii() || authority.contains(confusing) || rest.contains(|c: char| c.is_control() || c == '\\') {
        return Err(forbidden(authority));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(six) => match six.split_once(']') {
            Some((host, port)) if host.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)) => (host, port),
            _ => return Err(forbidden(authority)),
        },
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let port_ok = port.is_empty()
        || port.strip_prefix(':').is_some_and(|p| p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() || !port_ok || !allowed(&host) {
        return Err(forbidden(&host));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Result<(), WireError> {
        check_urls(&Head::parse(body.as_bytes()).unwrap(), |host| matches!(host, "ok.example" | "::1"))
    }

    fn image(url: &str) -> String {
        format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
        )
    }

    #[test]
    fn data_and_allowed_hosts_pass() {
        for url in [
            "data:image/png;base64,AAAA",
            "DATA:,x",
            "https://ok.example/a.png?u=http://evil",
            "HTTP://OK.example.:8080",
            " https://ok.example",
            "http://[::1]:80/x",
            "\\u0068ttps://ok.example/",
        ] {
            assert_eq!(check(&image(url)), Ok(()), "{url}");
        }
        assert_eq!(check(r#"{"messages":[{"content":"see http://evil/ url"}],"model":"url"}"#), Ok(()));
        assert_eq!(check(r#"{"image_url":null,"messages":[{"image_url":null}]}"#), Ok(()));
    }

    #[test]
    fn everything_else_is_refused() {
        for (url, host) in [
            ("http://evil/", "evil"),
            ("\\u0068ttp://evil/", "evil"),
            ("http:\\/\\/evil\\/", "evil"),
            ("HTTPS://EVIL:1", "evil"),
            ("\\n\\t http://evil", "evil"),
            ("http://ok.example@evil/", "ok.example@evil"),
            ("http://evil\\\\@ok.example/", "evil\\@ok.example"),
            ("http://ok.example\\\\.evil/", "ok.example\\.evil"),
            ("http://[::2]/", "::2"),
            ("http://[::1/", "[::1"),
            ("http://ok.example:80:90/", "ok.example"),
            ("http://ok.example.evil.example/", "ok.example.evil.example"),
            ("http://ok%2eexample/", "ok%2eexample"),
            ("http:///evil", ""),
            ("http:/ok.example", ""),
            ("http:ok.example", ""),
            ("//ok.example/", ""),
            ("ok.example", ""),
            ("", ""),
            ("file:///etc/passwd", "file:"),
            ("ftp://ok.example/", "ftp:"),
            ("ht\\ntp://ok.example/", ""),
            ("gopher://x", "gopher:"),
            ("http://169.254.169.254/latest", "169.254.169.254"),
        ] {
            assert_eq!(check(&image(url)), Err(WireError::ForbiddenUrl { host: host.into() }), "{url}");
        }
    }

    #[test]
    fn every_key_that_ends_in_url_is_read_wherever_it_stands() {
        let evil = Err(WireError::ForbiddenUrl { host: "evil".into() });
        for body in [
            r#"{"image_url":"http://evil"}"#,
            r#"{"a":[{"b":{"video_url":"http://evil"}}]}"#,
            r#"{"a":{"audio\u005furl":{"url":"http://evil"}}}"#,
            r#"{"a":{"image_\u0075rl":"http://evil"}}"#,
            r#"{"imageUrl":"http://evil"}"#,
            r#"{"image_urls":["data:,", ["http://evil"]]}"#,
            r#"{"document_url":["data:,",{"x":1},"http://evil"]}"#,
            r#"{"messages":[{"image_url":{"detail":"low","url":"http://evil"}}]}"#,
        ] {
            assert_eq!(check(body), evil, "{body}");
        }
        for name in SKIPPED {
            assert_eq!(check(&format!(r#"{{"{name}":{{"a_url":"http://evil"}}}}"#)), Ok(()), "{name}");
        }
        assert_eq!(check(r#"{"a":{"image_url":"data:,","detail":"http://evil"}}"#), Ok(()));
    }
}
