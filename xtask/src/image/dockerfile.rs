//! The part of a Dockerfile that an image without a base and without anything to run can have.
//! <https://docs.docker.com/reference/dockerfile/>

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    pub copies: Vec<Copy>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// `9464/tcp`.
    pub ports: Vec<String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Copy {
    /// From the repository's top.
    pub source: String,
    /// In the image, absolute.
    pub target: String,
    pub mode: u32,
}

impl Dockerfile {
    /// # Errors
    /// If an instruction is none of those that are understood here; the message has its line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut file = Self::default();
        let mut lines = text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let mut whole = line.trim().to_owned();
            while let Some(start) = whole.strip_suffix('\\') {
                let (_, next) =
                    lines.next().with_context(|| format!("line {}: goes on nowhere", index + 1))?;
                whole = format!("{} {}", start.trim_end(), next.trim());
            }
            if whole.is_empty() || whole.starts_with('#') {
                continue;
            }
            file.instruction(&whole).with_context(|| format!("line {}", index + 1))?;
        }
        Ok(file)
    }

    fn instruction(&mut self, line: &str) -> Result<()> {
        let (name, rest) = line.split_once(' ').with_context(|| format!("`{line}` has no argument"))?;
        match name {
            "FROM" if rest.trim() == "scratch" => {}
            "COPY" => self.copies.push(copy(rest)?),
            "ENV" => self
                .environment
                .extend(pairs(rest)?.into_iter().map(|(name, value)| format!("{name}={value}"))),
            "LABEL" => self.labels.extend(pairs(rest)?),
            "EXPOSE" => self.ports.extend(rest.split_whitespace().map(|port| format!("{port}/tcp"))),
            "ENTRYPOINT" => self.entrypoint = words(rest)?,
            "CMD" => self.command = words(rest)?,
            _ => bail!("`{line}` is not understood here: only a container engine could do it"),
        }
        Ok(())
    }
}

fn copy(rest: &str) -> Result<Copy> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [mode, source, target] = words[..] else { bail!("COPY takes --chmod=MODE, a source and a target") };
    let mode = mode.strip_prefix("--chmod=").and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let mode = mode.context("COPY without --chmod=MODE would depend on the file's own mode")?;
    if !target.starts_with('/') {
        bail!("`{target}` is not absolute");
    }
    Ok(Copy { source: source.to_owned(), target: target.to_owned(), mode })
}

/// `name=value`, the value in quotes if it has spaces.
fn pairs(rest: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = rest.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').with_context(|| format!("`{rest}` is not name=value"))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').context("a quote is not closed")?,
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        pairs.push((name.to_owned(), value.to_owned()));
        rest = after.trim();
    }
    Ok(pairs)
}

/// The exec form: a JSON array.
fn words(rest: &str) -> Result<Vec<String>> {
    serde_json::from_str(rest).with_context(|| format!("`{rest}` is not in the exec form, [\"program\"]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instruction_has_its_place() {
        let text = "# x\nFROM scratch\n\nCOPY --chmod=0755 a/b /c\nENV PATH=/\nLABEL a.b=\"c d\" \\\n      e=f\n\
                    EXPOSE 9464\nENTRYPOINT [\"/c\"]\nCMD [\"run\", \"x\"]\n";
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = Dockerfile {
            copies: vec![Copy { source: "a/b".to_owned(), target: "/c".to_owned(), mode: 0o755 }],
            environment: vec!["PATH=/".to_owned()],
            labels: [label("a.b", "c d"), label("e", "f")].into(),
            ports: vec!["9464/tcp".to_owned()],
            entrypoint: vec!["/c".to_owned()],
            command: vec!["run".to_owned(), "x".to_owned()],
        };
        assert_eq!(Dockerfile::parse(text).unwrap(), expected);
    }

    #[test]
    fn what_only_an_engine_can_do_is_refused_with_its_line() {
        for line in ["RUN true", "FROM debian", "COPY a /b", "COPY --chmod=0644 a b", "CMD run", "ENV x"] {
            let error = format!("{:#}", Dockerfile::parse(&format!("FROM scratch\n{line}\n")).unwrap_err());
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }
}
