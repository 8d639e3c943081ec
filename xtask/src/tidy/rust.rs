//! Just enough of Rust's lexical structure to tell code from comments and literals.

/// The text with comments and the insides of string and character literals blanked out; lines stay where they are.
/// Reference: The Rust Reference, "Comments" and "Tokens".
pub fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest, previous);
        let taken = length.unwrap_or(first.len_utf8());
        let (head, tail) = rest.split_at(taken);
        if length.is_some() {
            code.extend(head.chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(first);
        }
        previous = head.chars().next_back().unwrap_or(' ');
        rest = tail;
    }
    code
}

/// The length of the comment or literal that `rest` begins with.
fn skipped(rest: &str, previous: char) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if !is_word(previous)
        && let Some(length) = raw_string(rest)
    {
        return Some(length);
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    None
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// `r"..."`, `br#"..."#`, `c"..."` and their like; the plain ones' prefixes need no care.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes_at = rest.find('r').filter(|at| *at <= 1 && matches!(&rest[..*at], "" | "b" | "c"))? + 1;
    let hashes = rest[hashes_at..].bytes().take_while(|byte| *byte == b'#').count();
    let start = hashes_at + hashes;
    if !rest[start..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = &rest[start + 1..];
    Some(inside.find(&end).map_or(rest.len(), |at| start + 1 + at + end.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + character.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, as against a lifetime: `'a'` and `'\n'`, not `'a`.
fn character(rest: &str) -> Option<usize> {
    let mut characters = rest.chars().skip(1);
    let is_literal = characters.next()? == '\\' || characters.next()? == '\'';
    is_literal.then(|| quoted(rest, '\''))
}

/// Every place where `word` stands by itself: line (from 1) and what follows it on.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        let alone = !before.ends_with(is_word) && !after.starts_with(is_word);
        alone.then(|| (before.matches('\n').count() + 1, after))
    })
}

pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        for text in [
            "// unsafe\n",
            "/* a /* nested */ unsafe */",
            "\"unsafe\"",
            "\"a\\\"unsafe\"",
            "r#\"a\" unsafe\"#",
            "br\"unsafe\\\"",
        ] {
            assert_eq!(words(&code(text), "unsafe").count(), 0, "{text}");
        }
    }

    #[test]
    fn what_follows_a_literal_is_code_again() {
        for text in [
            "'\"' unsafe",
            "'\\'' unsafe",
            "&'a str; unsafe",
            "r#\"\"# unsafe",
            "/* */ unsafe",
            "\"\\\\\" unsafe",
        ] {
            assert_eq!(words(&code(text), "unsafe").count(), 1, "{text}");
        }
    }

    #[test]
    fn a_longer_word_is_another_word_and_lines_are_counted_from_one() {
        let code = code("unsafe_code\n\"two\nlines\"\nunsafe {}\n");
        assert_eq!(words(&code, "unsafe").map(|(line, _)| line).collect::<Vec<_>>(), [4]);
    }
}
