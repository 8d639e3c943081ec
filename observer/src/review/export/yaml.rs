//! Texts as YAML takes them.

/// A scalar: plain where that cannot be taken for anything else, quoted otherwise.
pub(super) fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'));
    match begins && plain && !WORDS.contains(&text) {
        true => text.to_owned(),
        // JSON's strings are YAML's.
        false => serde_json::Value::from(text).to_string(),
    }
}

/// A key of a label: with a `/` and a prefix, mostly.
pub(super) fn key(text: &str) -> String {
    let prefixed = text.split_once('/').is_some_and(|(prefix, name)| {
        scalar(prefix) == prefix
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    if prefixed { text.to_owned() } else { scalar(text) }
}

/// Nothing in a comment may end its line: names come from the network's other end.
pub(super) fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}') { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_reads_back_as_the_text_that_it_was() {
        for text in [
            "shop", "true", "no", "12", "1e3", "0x1f", "a: b", "# a", "-", "", "x\ny", "~", "a.b-c", "é", "A",
        ] {
            let yaml = format!("{{{}: {}}}", key(text), scalar(text));
            if text.is_empty() {
                continue;
            }
            let read: std::collections::BTreeMap<String, String> =
                serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
            assert_eq!(read.get(text).map(String::as_str), Some(text), "{yaml}");
        }
        assert_eq!(key("kubernetes.io/metadata.name"), "\"kubernetes.io/metadata.name\"");
        assert_eq!(comment("a\nkind: b"), "a kind: b");
    }
}
