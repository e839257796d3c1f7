//! A break-glass code as people read it aloud and type it: Crockford's base32 in groups of four.
//!
//! That alphabet leaves out I, L, O and U and reads what looks like another character as that one,
//! so that a code survives a bad line and a tired reader. There is no check digit: a wrong code
//! costs a moment, not the code.

use std::fmt;

use zeroize::Zeroizing;

use crate::event::way_out::CODE_BYTES;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of a code: five bits each.
pub const CODE_CHARACTERS: usize = CODE_BYTES * 8 / 5;

/// Characters between two hyphens.
const GROUP_CHARACTERS: usize = 4;

/// A code; it is wiped when it goes, and shows itself only where it is written out on purpose.
#[derive(Clone, Eq, PartialEq)]
pub struct Code(Zeroizing<[u8; CODE_BYTES]>);

/// Why a text is no code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CodeError {
    /// A character that no code has.
    #[error("{0:?} stands in no code; codes are made of digits and of letters without I, L, O, U")]
    Character(char),
    /// Too few or too many.
    #[error("a code has {CODE_CHARACTERS} characters, and this has {0}")]
    Length(usize),
}

impl Code {
    /// The code of these bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; CODE_BYTES]>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; CODE_BYTES] {
        &self.0
    }

    /// Reads what somebody typed: small letters, spaces, hyphens and look-alikes are understood.
    pub fn from_text(text: &str) -> Result<Self, CodeError> {
        let mut bits = Zeroizing::new(0_u128);
        let mut count: usize = 0;
        for character in text.chars().filter(|character| !is_gap(*character)) {
            let value = value(character).ok_or(CodeError::Character(character))?;
            count = count.saturating_add(1);
            *bits = (*bits << 5) | u128::from(value);
        }
        if count != CODE_CHARACTERS {
            return Err(CodeError::Length(count));
        }
        let mut code = Zeroizing::new([0; CODE_BYTES]);
        let bytes = Zeroizing::new(bits.to_be_bytes());
        code.iter_mut().rev().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
        Ok(Self(code))
    }

    /// The code for a person: `7K2M-QX9D-04TA-ZZ3P`.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let bits = Zeroizing::new(
            self.0.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte)),
        );
        let mut text = Zeroizing::new(String::with_capacity(CODE_CHARACTERS * 2));
        for at in 0..CODE_CHARACTERS {
            if at > 0 && at.is_multiple_of(GROUP_CHARACTERS) {
                text.push('-');
            }
            let shift = CODE_CHARACTERS.saturating_sub(at).saturating_sub(1).saturating_mul(5);
            let value = usize::try_from((*bits >> shift) & 31).unwrap_or_default();
            text.extend(ALPHABET.get(value).map(|byte| char::from(*byte)));
        }
        text
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// What people put between groups.
fn is_gap(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | '_' | '.' | '\u{2010}'..='\u{2015}')
}

fn value(character: char) -> Option<u8> {
    let meant = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = ALPHABET.iter().position(|byte| char::from(*byte) == meant)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(bytes: [u8; CODE_BYTES]) -> Code {
        Code::new(Zeroizing::new(bytes))
    }

    #[test]
    fn a_code_is_written_in_four_groups_of_four() {
        assert_eq!(code([0; 10]).to_text().as_str(), "0000-0000-0000-0000");
        assert_eq!(code([0xff; 10]).to_text().as_str(), "ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        let counted = [0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf];
        assert_eq!(code(counted).to_text().as_str(), "0123-4567-89AB-CDEF");
        assert_eq!(format!("{:?}", code(counted)), "Code(…)");
    }

    #[track_caller]
    fn check(typed: &str, says: &str) {
        let read = Code::from_text(typed);
        let said = read.map_or_else(|error| error.to_string(), |code| code.to_text().to_string());
        assert!(said.starts_with(says), "{said}");
    }

    #[test]
    fn what_looks_like_another_character_is_read_as_it() {
        let meant = "0011-1234-5678-9ABC";
        check("0011-1234-5678-9ABC", meant);
        check("ooil 1234 5678 9abc", meant);
        check(" OOLI_l234.5678–9abc\r\n", meant);
    }

    #[test]
    fn what_is_no_code_is_told_why() {
        check("", "a code has 16 characters, and this has 0");
        check("0011-1234-5678-9AB", "a code has 16 characters, and this has 15");
        check("0011-1234-5678-9ABCD", "a code has 16 characters, and this has 17");
        check("0011-1234-5678-9ABU", "'U' stands in no code");
        check("0011-1234-5678-9AB€", "'€' stands in no code");
        check(&"0".repeat(100_000), "a code has 16 characters, and this has 100000");
    }

    /// How somebody may type one character of a code.
    fn typed(character: char, how: u8) -> String {
        let looks = match (character, how % 4) {
            ('0', 1) => 'O',
            ('0', 2) => 'o',
            ('1', 1) => 'I',
            ('1', 2) => 'l',
            ('1', 3) => 'L',
            (other, 2) => other.to_ascii_lowercase(),
            (other, _) => other,
        };
        let gap = ["", " ", "-", "\t", "–"][usize::from(how / 4) % 5];
        format!("{gap}{looks}")
    }

    proptest! {
        #[test]
        fn a_code_comes_back_however_it_is_typed(
            bytes: [u8; CODE_BYTES],
            hows in proptest::collection::vec(any::<u8>(), 19),
        ) {
            let text = code(bytes).to_text();
            let text: String =
                text.chars().zip(hows).map(|(character, how)| typed(character, how)).collect();
            prop_assert_eq!(Code::from_text(&text), Ok(code(bytes)));
        }

        #[test]
        fn any_text_is_a_code_or_refused(text: String) {
            if let Ok(code) = Code::from_text(&text) {
                prop_assert_eq!(Code::from_text(&code.to_text()), Ok(code));
            }
        }

        #[test]
        fn another_character_is_another_code(bytes: [u8; CODE_BYTES], at in 0..16_usize, by in 1..32_usize) {
            let text = code(bytes).to_text().replace('-', "");
            let old = ALPHABET.iter().position(|byte| *byte == text.as_bytes()[at]).unwrap();
            let mut changed = text.into_bytes();
            changed[at] = ALPHABET[(old + by) % 32];
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_ne!(Code::from_text(&changed), Ok(code(bytes)));
        }
    }
}
