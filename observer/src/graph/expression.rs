//! Regular expressions of policies, which have to fit the whole text.

use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::pattern::Pattern;

/// Longer ones are not in use, and are not read.
const MAX_LENGTH: usize = 1_024;
/// Bytes of a compiled one. A cluster has thousands of policies; what repeats a large group is beyond this.
const MAX_COMPILED: usize = 64 * 1_024;

/// One that no simpler [`Pattern`] stands for.
#[derive(Debug)]
pub(super) struct Expression {
    text: Box<str>,
    compiled: Regex,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Expression {
    pub fn fits(&self, text: &str) -> bool {
        self.compiled.is_match(text.as_bytes())
    }
}

/// The texts that it fits; `None`: it is too large to be judged by.
///
/// # Errors
/// It is none.
pub(super) fn patterns(text: &str) -> Result<Option<Vec<Pattern>>, String> {
    if let Some(patterns) = text.split('|').map(simple).collect() {
        return Ok(Some(patterns));
    }
    if text.len() > MAX_LENGTH {
        return Ok(None);
    }
    let compiled =
        RegexBuilder::new(&format!("^(?:{text})$")).unicode(false).size_limit(MAX_COMPILED).build();
    match compiled {
        Ok(compiled) => Ok(Some(vec![Pattern::Fits(Arc::new(Expression { text: text.into(), compiled }))])),
        Err(regex::Error::CompiledTooBig(_)) => Ok(None),
        Err(_) => Err(format!(
            "{text} is no regular expression; mend it, or escape with \\ what it means literally"
        )),
    }
}

/// Most are a text, or one and `.*`.
fn simple(text: &str) -> Option<Pattern> {
    let (text, prefix) = text.strip_suffix(".*").map_or((text, false), |text| (text, true));
    let mut literal = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        literal.push(match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '-' | '_' | '~' | '%' | ':' | '@' | '&' | '=' | ',' => {
                character
            }
            '\\' => characters.next().filter(char::is_ascii_punctuation)?,
            _ => return None,
        });
    }
    let literal = literal.as_str().into();
    Some(if prefix { Pattern::Prefix(literal) } else { Pattern::Exact(literal) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_has_to_fit_the_whole_text() {
        // POSIX.1-2017, chapter 9.4: extended regular expressions.
        let rows = [
            ("/public", "/public", true),
            ("/public", "/public/1", false),
            ("/public", "/x/public", false),
            ("/public/.*", "/public/1", true),
            ("/public/.*", "/public", false),
            ("/public.*", "/publication", true),
            ("GET|HEAD", "HEAD", true),
            ("GET|HEAD", "GETHEAD", false),
            ("/v[12]/(a|b)+", "/v2/abab", true),
            ("/v[12]/(a|b)+", "/v3/a", false),
            ("/a.c", "/abc", true),
            ("/a\\.c", "/abc", false),
            ("/a\\.c", "/a.c", true),
            ("^/a$", "/a", true),
            ("/path1$", "/path1", true),
            ("/item/[0-9]{2,3}", "/item/1234", false),
            ("/item/[[:digit:]]{2,3}", "/item/123", true),
            ("", "", true),
            ("/a|/b.*", "/bcd", true),
            ("(/a|/b", "", false),
        ];
        for (text, tried, fits) in rows {
            let found = patterns(text);
            if text == "(/a|/b" {
                assert!(found.is_err(), "{text}");
                continue;
            }
            let patterns = found.unwrap().unwrap();
            assert_eq!(patterns.iter().any(|pattern| pattern.matches(tried)), fits, "{text} {tried}");
        }
    }

    #[test]
    fn an_expression_that_would_take_much_memory_is_not_judged_by() {
        assert_eq!(patterns("(((a{1,100}){1,100}){1,100})"), Ok(None));
        assert_eq!(patterns(&"[ab]".repeat(400)), Ok(None));
    }
}
