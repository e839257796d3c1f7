//! Text from elsewhere, made harmless: what an endpoint's log says must not drive a terminal.
//!
//! Pure. Control characters and those that reorder or hide text are shown as escapes; a backslash
//! stays one, so that paths read as they are.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character could move, hide or reorder what a person sees.
#[must_use]
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// One line of harmless text.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_hostile)
}

/// Harmless text that may have several lines.
#[must_use]
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hostile(c))
}

fn escaped(text: &str, hostile: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hostile) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !hostile(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c => {
                // Writing to a String cannot fail.
                write!(shown, "\\u{{{:x}}}", u32::from(c)).ok();
            }
        }
    }
    Cow::Owned(shown)
}

/// JSON that says the same and is harmless on a terminal: such characters stand only in strings.
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hostile) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    let mut units = [0; 2];
    for c in json.chars() {
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut units) {
                write!(shown, "\\u{unit:04x}").ok();
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// At most so many characters, the cut marked.
#[must_use]
pub fn cut(text: &str, characters_max: usize) -> Cow<'_, str> {
    if text.chars().count() <= characters_max {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    Cow::Owned(format!("{kept}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_drive_a_terminal_is_shown_instead_of_sent() {
        for (text, shown) in [
            ("plain \\ ü 日本", "plain \\ ü 日本"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("\u{9b}31mred", "\\u{9b}31mred"),
            ("a\r\nb\tc\u{7f}", "a\\r\\nb\\tc\\u{7f}"),
            ("txt.\u{202e}exe", "txt.\\u{202e}exe"),
            ("we\u{200b}b", "we\\u{200b}b"),
        ] {
            assert_eq!(plain(text), shown);
        }
        assert_eq!(plain_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn harmless_json_says_the_same() {
        let value = serde_json::json!({ "line": "\u{9b}31m\u{202e}\u{e0041}\n ü" });
        let shown = plain_json(&value.to_string()).into_owned();
        assert!(!shown.chars().any(is_hostile));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn a_cut_is_marked() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
