//! Rust text with its comments and literals blanked, so that a rule about code sees only code.

/// The same text with every comment, string and character replaced by spaces; lines stay lines.
pub(crate) fn only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut kept = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = at + blank_len(&bytes[at..], kept.last().copied()).unwrap_or(0);
        if end == at {
            kept.push(bytes[at]);
            at += 1;
        } else {
            kept.extend(bytes[at..end].iter().map(|&byte| if byte == b'\n' { byte } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// How long the comment or literal is that begins here, if one does.
fn blank_len(rest: &[u8], before: Option<u8>) -> Option<usize> {
    match rest {
        [b'/', b'/', ..] => Some(until(rest, b"\n").unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(block_comment_len(rest)),
        [b'"', ..] => Some(quoted_len(rest, b'"')),
        [b'r', b'"' | b'#', ..] if !before.is_some_and(is_word) => raw_string_len(rest, 1),
        [b'b', b'r', b'"' | b'#', ..] if !before.is_some_and(is_word) => raw_string_len(rest, 2),
        [b'\'', ..] => character_len(rest),
        _ => None,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length up to and including the pattern's last byte, or up to a line's end without it.
fn until(rest: &[u8], pattern: &[u8]) -> Option<usize> {
    let at = rest.windows(pattern.len()).position(|window| window == pattern)?;
    Some(if pattern == b"\n" { at } else { at + pattern.len() })
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let (change, step) = match &rest[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        depth += change;
        at += step;
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string_len(rest: &[u8], letters: usize) -> Option<usize> {
    let hashes = rest[letters..].iter().take_while(|&&byte| byte == b'#').count();
    let opening = letters + hashes;
    // `r#name` is a word, not a string.
    (rest.get(opening) == Some(&b'"')).then_some(())?;
    let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let inner = until(&rest[opening + 1..], &closing);
    Some(inner.map_or(rest.len(), |inner| opening + 1 + inner))
}

/// A character, not a lifetime: `'a'` and `'\n'` end with a quote, `'a` does not.
fn character_len(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted_len(rest, b'\''));
    }
    let letter = std::str::from_utf8(&rest[1..rest.len().min(5)]);
    let valid = match &letter {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&rest[1..=error.valid_up_to()]).unwrap_or_default(),
    };
    let width = valid.chars().next()?.len_utf8();
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(only(text).split_whitespace().collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn comments_are_not_code() {
    check("a // unsafe\nb", "a b");
    check("a /* x /* unsafe */ y */ b", "a b");
    check("//! unsafe\n/// unsafe\nfn f() {}", "fn f() {}");
}

#[test]
fn literals_are_not_code() {
    check("a(\"unsafe \\\" unsafe\") b", "a( ) b");
    check("a(r#\"unsafe \" unsafe\"#) b", "a( ) b");
    check("a(br\"unsafe\") b", "a( ) b");
    check("a('\"') b(\"unsafe\")", "a( ) b( )");
    check("a('\\'') b('é')", "a( ) b( )");
}

#[test]
fn lifetimes_and_raw_words_are_code() {
    check("fn f<'a>(x: &'a str) -> &'a str", "fn f<'a>(x: &'a str) -> &'a str");
    check("let r#type = for_r;", "let r#type = for_r;");
}

#[test]
fn lines_stay_lines() {
    assert_eq!(only("a\n\"x\ny\"\nb // c\nd").lines().count(), 5);
}
