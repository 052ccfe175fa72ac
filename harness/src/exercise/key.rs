//! What variants are derived from beside their seed: a company's secret, or nothing. The exercises here are public, and so is how seeds
//! pick; with a secret in it, a seed tells nobody anything.

use std::path::{Path, PathBuf};

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// The variable of the environment that names the file of a company's key.
pub const KEY_FILE: &str = "MODELDOWN_KEY_FILE";
/// The fewest bytes of a secret: as many as its use has.
const LEAST: usize = 32;
/// What is sealed is filled up to a multiple of so many bytes, so that its length tells nothing of it.
const PADDED: usize = 256;
/// The length of a sealed text's nonce, which stands before it.
const NONCE: usize = 24;

/// A company's secret, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Key(Option<Hmac<Sha256>>);

/// Why there is no key although one is asked for.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("`{}`: {source} (`{KEY_FILE}` names it: a file with {LEAST} secret bytes or more, such as `openssl rand -hex 32` prints)", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// It could be guessed.
    #[error("`{}` holds {found} bytes, and a key has {LEAST} or more (`{KEY_FILE}` names it; `openssl rand -hex 32` prints a good one)", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// How many bytes it holds.
        found: usize,
    },
}

impl Key {
    /// No secret: everyone can derive the same.
    pub fn public() -> Self {
        Self(None)
    }

    /// The key of a secret; none where that is too short.
    pub fn company(secret: &[u8]) -> Option<Self> {
        let keyed = <Hmac<Sha256> as Mac>::new_from_slice(secret).ok();
        keyed.filter(|_| secret.len() >= LEAST).map(|keyed| Self(Some(keyed)))
    }

    /// The key in the file that [`KEY_FILE`] names; the public one where it is not set.
    pub fn from_environment() -> Result<Self, KeyError> {
        std::env::var_os(KEY_FILE).map_or_else(|| Ok(Self::public()), |path| Self::read(Path::new(&path)))
    }

    /// The key in a file. White space at its end is no part of the secret: editors and stores of secrets add a newline, or take it away.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let content = std::fs::read(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        let secret = content.trim_ascii_end();
        Self::company(secret).ok_or_else(|| KeyError::Short { path: path.to_owned(), found: secret.len() })
    }

    /// Whether there is no secret in it.
    pub fn is_public(&self) -> bool {
        self.0.is_none()
    }

    /// A digest that only this key makes of a text.
    pub(super) fn digest(&self, text: &str) -> [u8; 32] {
        match &self.0 {
            None => Sha256::digest(text).into(),
            Some(keyed) => keyed.clone().chain_update(text).finalize().into_bytes().into(),
        }
    }

    /// A text that only this key opens, in hexadecimal digits; none from the public key. The same text always gives the same: the
    /// nonce is a digest of it, and only texts that are the same share one.
    pub(super) fn seal(&self, text: &str) -> Option<String> {
        let padded = format!("{text:width$}", width = text.len().next_multiple_of(PADDED));
        let nonce: [u8; NONCE] = *self.digest(&format!("modeldown/nonce/1|{padded}")).first_chunk()?;
        let sealed = self.cipher()?.encrypt(&nonce.into(), padded.as_bytes()).ok()?;
        Some(super::hex(&nonce) + &super::hex(&sealed))
    }

    /// What was sealed with this key; none of everything else.
    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        let digits = sealed.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let bytes: Vec<u8> = digits.collect::<Option<_>>()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let text = String::from_utf8(self.cipher()?.decrypt(&(*nonce).into(), sealed).ok()?).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn cipher(&self) -> Option<XChaCha20Poly1305> {
        (!self.is_public()).then(|| XChaCha20Poly1305::new(&self.digest("modeldown/seal/1").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: u8) -> Key {
        Key::company(&[letter; LEAST]).expect("it is long enough")
    }

    #[test]
    fn only_the_key_opens_what_it_sealed() {
        let (sealed, other) = (key(b'a').seal("text").expect("there is a secret"), key(b'a').seal("longer text").expect("there is a secret"));
        assert_eq!(key(b'a').open(&sealed).as_deref(), Some("text"));
        assert_eq!(key(b'a').seal("text").as_deref(), Some(&*sealed));
        assert_eq!(sealed.len(), other.len(), "the length tells of the text");
        let forged = sealed.replace(&sealed[60..62], if &sealed[60..62] == "00" { "01" } else { "00" });
        for (key, text) in [(key(b'b'), &*sealed), (Key::public(), &sealed), (key(b'a'), &forged), (key(b'a'), "00"), (key(b'a'), "é")] {
            assert_eq!(key.open(text), None, "{text}");
        }
        assert_eq!(Key::public().seal("text"), None);
    }

    #[test]
    fn a_file_without_a_secret_is_told_with_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let said = || Key::read(&path).expect_err("it must be refused").to_string();
        assert!(said().contains("key`: No such file") && said().contains("MODELDOWN_KEY_FILE"), "{}", said());
        std::fs::write(&path, [b'x'; 31]).expect("writable");
        assert!(said().contains("holds 31 bytes, and a key has 32 or more"), "{}", said());
        std::fs::write(&path, "x".repeat(32) + "\r\n").expect("writable");
        assert_eq!(Key::read(&path).expect("it is long enough").digest("a"), key(b'x').digest("a"));
    }
}
