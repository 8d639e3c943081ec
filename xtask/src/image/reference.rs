//! What an image is called.

use std::fmt;

use anyhow::{Result, bail};

/// `repository:tag`, as one gives it to an engine.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    repository: String,
    pub tag: String,
}

impl Reference {
    /// # Errors
    /// If it has no tag, or characters that no registry takes.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = |part: &str, more: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        match text.rsplit_once(':') {
            // What follows a registry's port is no tag.
            Some((repository, tag)) if fits(tag, "._-") => {
                if !fits(repository, "._-/:") || repository.chars().any(|c| c.is_ascii_uppercase()) {
                    bail!(
                        "{text:?} is no image's name; give one such as registry.example.com/team/observer:1.0"
                    );
                }
                Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
            }
            _ => bail!("{text:?} has no tag; give one such as observer:1.0"),
        }
    }

    /// With the registry that engines assume where none is named: how containerd and the kubelet store it.
    pub fn full(&self) -> String {
        let Self { repository, tag } = self;
        match repository.split_once('/') {
            None => format!("docker.io/library/{repository}:{tag}"),
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
                format!("{repository}:{tag}")
            }
            Some(_) => format!("docker.io/{repository}:{tag}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_registry_is_completed_as_engines_complete_it() {
        // https://pkg.go.dev/github.com/distribution/reference, ParseNormalizedNamed.
        for (short, full) in [
            ("observer:0.1.0", "docker.io/library/observer:0.1.0"),
            ("team/observer:a", "docker.io/team/observer:a"),
            ("localhost/observer:a", "localhost/observer:a"),
            ("registry.example.com/observer:a", "registry.example.com/observer:a"),
            ("127.0.0.1:5000/a/observer:b", "127.0.0.1:5000/a/observer:b"),
        ] {
            assert_eq!(Reference::parse(short).unwrap().full(), full);
        }
    }

    #[test]
    fn a_name_without_a_tag_is_refused_with_an_example() {
        for wrong in ["observer", "localhost:5000/observer", "observer:", "Observer:1", ":1", "a b:1"] {
            let error = Reference::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("such as"), "{wrong}: {error}");
        }
    }
}
