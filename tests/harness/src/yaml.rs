//! JSON values as `kubectl -o yaml` prints them: block style, keys sorted, list items at their key's column.

use serde_json::Value;

/// `value` as a YAML document.
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

/// Writes a value that begins at the current column, `indent` spaces from the left.
fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.extend(std::iter::repeat_n(' ', indent));
                }
                *text += &scalar(key);
                text.push(':');
                member(text, &map[key], indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.extend(std::iter::repeat_n(' ', indent));
                }
                *text += "- ";
                block(text, item, indent + 2);
            }
        }
        Value::String(string) => {
            *text += &scalar(string);
            text.push('\n');
        }
        // Numbers, booleans, null, {} and [] are written alike in both languages.
        other => {
            *text += &other.to_string();
            text.push('\n');
        }
    }
}

/// Writes what follows a key's colon.
fn member(text: &mut String, value: &Value, indent: usize) {
    let nested = match value {
        Value::Object(map) if !map.is_empty() => indent + 2,
        Value::Array(items) if !items.is_empty() => indent,
        other => {
            text.push(' ');
            return block(text, other, indent);
        }
    };
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', nested));
    block(text, value, nested);
}

/// Plain where no YAML reader could take the string for anything else; otherwise in JSON's quotes, which YAML has too.
fn scalar(string: &str) -> String {
    const NOT_STRINGS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let plain = string.starts_with(|first: char| first.is_ascii_alphabetic())
        && string.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !NOT_STRINGS.contains(&string.to_ascii_lowercase().as_str());
    if plain { string.to_owned() } else { Value::from(string).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_kubectl_prints_them() {
        let value = json!({
            "kind": "List",
            "items": [{"metadata": {"name": "a", "labels": {}}, "spec": {"ports": [{"port": 80}], "args": []}}],
            "apiVersion": "v1",
        });
        let expected = "apiVersion: v1\nitems:\n- metadata:\n    labels: {}\n    name: a\n  spec:\n    args: []\n    \
                        ports:\n    - port: 80\nkind: List\n";
        assert_eq!(print(&value), expected);
    }

    #[test]
    fn any_string_reads_back_as_the_same_string() {
        for string in [
            "yes", "null", "1e3", "10.0.0.1", "", " a", "a: b", "fd00::1", "-", "tab\t", "\"q\"", "No", "é",
            "# c",
        ] {
            let text = print(&json!({"key": [string], "other": {"key": string}}));
            let read: Value = serde_saphyr::from_str(&text).expect("valid YAML");
            assert_eq!(read, json!({"key": [string], "other": {"key": string}}), "{text}");
        }
    }
}
