//! Bytes into text, whatever wrote them: UTF-8, UTF-16, Windows-1252, Latin-1 and their neighbours.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

/// The text and the encoding's name. `declared` is what the file says of itself, believed only when UTF-8 fails.
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: Option<&[u8]>) -> (Cow<'a, str>, &'static str) {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(bytes.get(mark..).unwrap_or_default());
        return (text, encoding.name());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.into(), UTF_8.name());
    }
    let declared = declared.and_then(Encoding::for_label).filter(|encoding| *encoding != UTF_8);
    let encoding = declared.unwrap_or_else(|| {
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        detector.feed(bytes, true);
        // A hint, for the many short files in which nothing but the habit of the country tells.
        detector.guess(Some(b"fr"), Utf8Detection::Allow)
    });
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    (text, encoding.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_found() {
        let french = "L’arrêté du préfet, « œuvre » à 3 €";
        assert_eq!(decode(french.as_bytes(), None), (french.into(), "UTF-8"));
        let (windows, _, _) = encoding_rs::WINDOWS_1252.encode(french);
        assert_eq!(decode(&windows, None), (french.into(), "windows-1252"));
        // Latin-1 is a part of Windows-1252.
        let latin: Vec<u8> = "Arrêté du préfet".chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(decode(&latin, None).0, "Arrêté du préfet");
        let utf16: Vec<u8> = "\u{feff}Arrêté".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&utf16, None), ("Arrêté".into(), "UTF-16LE"));
        let (greek, _, _) = encoding_rs::ISO_8859_7.encode("Απόφαση");
        assert_eq!(decode(&greek, Some(b"iso-8859-7")).0, "Απόφαση");
    }
}
