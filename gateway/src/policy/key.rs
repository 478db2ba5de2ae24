//! API keys: `gct_<id>_<secret><checksum>`, 70 ASCII characters.
//!
//! | part | characters | what |
//! |---|---|---|
//! | `gct_` | 4 | says whose key it is, to people and to secret scanners |
//! | id | 16 of base 62 | public: shown in lists, logs and records |
//! | `_` | 1 | |
//! | secret | 43 of base 62 | 256 bits of the system's randomness; only its SHA-256 is stored |
//! | checksum | 6 of base 62 | CRC-32 of all before it, so that a typing error is refused without a look-up |

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

const PREFIX: &[u8] = b"gct_";
const ID: usize = 16;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const LENGTH: usize = PREFIX.len() + ID + 1 + SECRET + CHECKSUM;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public part of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID]);

impl KeyId {
    pub fn as_str(&self) -> &str {
        // Only ASCII digits and letters are ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id of no key.
    pub fn nobody() -> KeyId {
        KeyId([b'0'; ID])
    }

    pub fn parse(text: &str) -> Option<KeyId> {
        let bytes: [u8; ID] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(KeyId(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// SHA-256 of a key's secret part. Compared in constant time only.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    fn of(secret: &[u8]) -> KeyHash {
        KeyHash(Sha256::digest(secret).into())
    }

    pub fn same(&self, other: &KeyHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// 64 hexadecimal digits, as stored.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn from_hex(text: &str) -> Option<KeyHash> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            let value = char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?;
            *byte = u8::try_from(value).ok()?;
        }
        Some(KeyHash(bytes))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// What a well-formed key says: who it claims to be, and the proof.
#[derive(Clone, Copy, Debug)]
pub struct Presented {
    pub id: KeyId,
    pub hash: KeyHash,
}

/// A key just made: the only moment its text exists.
#[derive(Clone)]
pub struct ApiKey {
    id: KeyId,
    text: Secret,
}

impl ApiKey {
    /// A new key from the system's randomness. The error is the system's.
    pub fn generate() -> Result<ApiKey, getrandom::Error> {
        let mut text = [0; LENGTH];
        let (head, tail) = text.split_at_mut(PREFIX.len() + ID + 1);
        head[..PREFIX.len()].copy_from_slice(PREFIX);
        fill(&mut head[PREFIX.len()..PREFIX.len() + ID])?;
        head[PREFIX.len() + ID] = b'_';
        fill(&mut tail[..SECRET])?;
        let sum = checksum(&text[..LENGTH - CHECKSUM]);
        text[LENGTH - CHECKSUM..].copy_from_slice(&sum);
        let mut id = [0; ID];
        id.copy_from_slice(&text[PREFIX.len()..PREFIX.len() + ID]);
        Ok(ApiKey { id: KeyId(id), text: Secret::new(String::from_utf8_lossy(&text)) })
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    pub fn hash(&self) -> KeyHash {
        let text = self.text.reveal().as_bytes();
        KeyHash::of(text.get(PREFIX.len() + ID + 1..LENGTH - CHECKSUM).unwrap_or_default())
    }

    /// The whole key, to be shown once.
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }

    /// Reads a key as it came, of any bytes. Allocates nothing; `None` when it cannot be one of ours.
    pub fn parse(bytes: &[u8]) -> Option<Presented> {
        if bytes.len() != LENGTH || !bytes.starts_with(PREFIX) || bytes[PREFIX.len() + ID] != b'_' {
            return None;
        }
        let (body, sum) = bytes.split_at(LENGTH - CHECKSUM);
        let id = &body[PREFIX.len()..PREFIX.len() + ID];
        let secret = &body[PREFIX.len() + ID + 1..];
        if !id.iter().chain(secret).all(u8::is_ascii_alphanumeric) || checksum(body) != sum {
            return None;
        }
        let id = KeyId(id.try_into().ok()?);
        Some(Presented { id, hash: KeyHash::of(secret) })
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey(gct_{}_…)", self.id)
    }
}

/// Random digits of base 62, each equally likely.
fn fill(digits: &mut [u8]) -> Result<(), getrandom::Error> {
    let mut filled = 0;
    while filled < digits.len() {
        let mut noise = [0; 64];
        getrandom::fill(&mut noise)?;
        // 248 is the last multiple of 62 a byte holds: past it, low digits would come up more often.
        for byte in noise.into_iter().filter(|byte| *byte < 248) {
            if let Some(slot) = digits.get_mut(filled) {
                *slot = DIGITS[usize::from(byte % 62)];
                filled += 1;
            }
        }
    }
    Ok(())
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = u64::from(crc32fast::hash(body));
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(sum % 62).unwrap_or_default()];
        sum /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_back_and_never_shows() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(key.reveal().len(), LENGTH);
        let presented = ApiKey::parse(key.reveal().as_bytes()).unwrap();
        assert_eq!(presented.id, key.id());
        assert!(presented.hash.same(&key.hash()));
        assert!(KeyHash::from_hex(&key.hash().to_hex()).unwrap().same(&key.hash()));
        assert!(!KeyHash::of(b"other").same(&key.hash()));
        let secret = &key.reveal()[21..64];
        assert!(!format!("{key:?} {presented:?}").contains(secret));
        assert_ne!(ApiKey::generate().unwrap().reveal(), key.reveal());
    }

    #[test]
    fn digits_are_spread_evenly() {
        let mut digits = vec![0; 62_000];
        fill(&mut digits).unwrap();
        for digit in DIGITS {
            let count = digits.iter().filter(|d| *d == digit).count();
            assert!((800..1_200).contains(&count), "{} came {count} times", char::from(*digit));
        }
    }

    #[test]
    fn hostile_texts_are_no_keys() {
        for text in ["", "gct_", "' OR '1'='1", "gct_'; DROP TABLE keys;--", "sk-abc", "gct_\u{e9}\u{0}", "null"] {
            assert!(ApiKey::parse(text.as_bytes()).is_none(), "{text}");
        }
        let mut quoted = ApiKey::generate().unwrap().reveal().as_bytes().to_vec();
        quoted[6] = b'\'';
        let sum = checksum(&quoted[..LENGTH - CHECKSUM]);
        quoted[LENGTH - CHECKSUM..].copy_from_slice(&sum);
        assert!(ApiKey::parse(&quoted).is_none(), "a right checksum does not excuse a quote");
        assert!(KeyId::parse("' OR '1'='1' -- x").is_none());
        assert!(KeyHash::from_hex(&"é".repeat(32)).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_calmly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(ApiKey::parse(&bytes).is_none());
        }

        #[test]
        fn the_right_length_alone_opens_nothing(text in "gct_[0-9A-Za-z'\" ]{16}_[0-9A-Za-z;-]{49}") {
            prop_assert!(ApiKey::parse(text.as_bytes()).is_none());
        }

        #[test]
        fn one_wrong_character_is_seen(place in 0..LENGTH, byte in any::<u8>()) {
            let mut bytes = ApiKey::generate().unwrap().reveal().as_bytes().to_vec();
            prop_assume!(bytes[place] != byte);
            bytes[place] = byte;
            prop_assert!(ApiKey::parse(&bytes).is_none());
        }
    }
}
