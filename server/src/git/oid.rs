//! Object ids: SHA-1, full length, lower case. Abbreviations never get past this type.

use std::fmt;
use std::str::FromStr;

/// The id of a git object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Oid([u8; 20]);

/// The text is no full object id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a full object id (40 lower-case hexadecimal digits)")]
pub(crate) struct OidError;

impl Oid {
    /// What git writes where there is no object: as the old id of a new ref, the new id of a deleted one.
    pub(crate) const ZERO: Self = Self([0; 20]);

    pub(crate) fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    pub(super) fn to_git2(self) -> git2::Oid {
        git2::Oid::from_bytes(&self.0).expect("invariant: an object id has 20 bytes")
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        // `hex` accepts upper case too; git never writes it, and one spelling makes comparison of text safe.
        if text.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(OidError);
        }
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| OidError)?;
        Ok(Self(bytes))
    }
}

impl From<git2::Oid> for Oid {
    fn from(oid: git2::Oid) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(oid.as_bytes());
        Self(bytes)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_lower_case_ids_are_object_ids() {
        let good = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(good.parse::<Oid>().map(|oid| oid.to_string()).as_deref(), Ok(good));
        for bad in ["", "0123", "--upload-pack=x", &good[1..], &good.to_uppercase(), &format!("{good}0")] {
            assert!(bad.parse::<Oid>().is_err(), "{bad:?} was accepted");
        }
    }
}
