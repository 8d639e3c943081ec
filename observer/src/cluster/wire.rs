//! The bytes of lists and watches. Each object is read by itself, so that a malformed one spoils no other.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::identity::Metadata;

/// A line of a watch (`WatchEvent` of the API).
#[derive(Debug)]
pub enum Line<'a> {
    /// Added or modified.
    Applied(&'a RawValue),
    Deleted(&'a RawValue),
    /// Only a resource version; `complete`: what existed at the start has all been sent.
    Bookmark {
        version: String,
        complete: bool,
    },
    Error {
        code: u16,
        message: String,
    },
    /// Of a type that this program does not know.
    Other,
}

/// What every object has, whatever else is wrong with it.
#[derive(Debug, Default, Deserialize)]
pub struct Head {
    #[serde(default)]
    pub metadata: HeadMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeadMetadata {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// A list, its objects unread.
#[derive(Debug, Deserialize)]
pub struct List<'a> {
    #[serde(default)]
    pub metadata: ListMetadata,
    #[serde(borrow, default)]
    pub items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMetadata {
    pub resource_version: Option<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    r#type: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BookmarkMetadata {
    resource_version: String,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// Marks the bookmark behind what existed at the start (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// # Errors
/// Not an event in JSON.
pub fn line(bytes: &[u8]) -> serde_json::Result<Line<'_>> {
    let event: Event<'_> = serde_json::from_slice(bytes)?;
    Ok(match event.r#type.as_str() {
        "ADDED" | "MODIFIED" => Line::Applied(event.object),
        "DELETED" => Line::Deleted(event.object),
        "BOOKMARK" => {
            let Bookmark { metadata } = serde_json::from_str(event.object.get())?;
            let annotations = metadata.annotations.unwrap_or_default();
            let complete = annotations.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true");
            Line::Bookmark { version: metadata.resource_version, complete }
        }
        "ERROR" => {
            let Status { code, message } = serde_json::from_str(event.object.get())?;
            Line::Error { code, message }
        }
        _ => Line::Other,
    })
}

impl Head {
    /// Of an object that may be malformed: what can be read of it.
    pub fn read(object: &RawValue) -> HeadMetadata {
        serde_json::from_str(object.get()).map(|head: Self| head.metadata).unwrap_or_default()
    }
}

impl HeadMetadata {
    /// As objects have it.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            uid: self.uid.clone(),
            ..Metadata::default()
        }
    }

    /// `Pod shop/orders`.
    pub fn called(&self, kind: &str) -> String {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
            (None, Some(name)) => format!("{kind} {name}"),
            (_, None) => format!("{kind} without a name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bookmark_of_what_existed_is_told_from_the_others() {
        // As kube-apiserver 1.36 writes them.
        let last = br#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","annotations":{"k8s.io/initial-events-end":"true"}},"spec":{"containers":null},"status":{}}}"#;
        assert!(matches!(line(last).unwrap(), Line::Bookmark { version, complete: true } if version == "42"));
        let other = br#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"43"},"spec":{"containers":null},"status":{}}}"#;
        assert!(
            matches!(line(other).unwrap(), Line::Bookmark { version, complete: false } if version == "43")
        );
    }

    #[test]
    fn a_resource_version_that_is_gone_comes_as_an_error() {
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (7)","reason":"Expired","code":410}}"#;
        assert!(matches!(line(gone).unwrap(), Line::Error { code: 410, .. }));
    }

    #[test]
    fn an_object_without_anything_is_still_an_object() {
        let Line::Applied(object) = line(br#"{"object":{},"type":"ADDED"}"#).unwrap() else { panic!() };
        assert_eq!(Head::read(object).called("Pod"), "Pod without a name");
        let Line::Applied(object) = line(br#"{"object":{"metadata":{"name":7}},"type":"ADDED"}"#).unwrap()
        else {
            panic!()
        };
        assert_eq!(Head::read(object).called("Pod"), "Pod without a name");
        assert!(line(b"{\"type\":\"ADDED\"}").is_err() && line(b"<html>").is_err());
    }

    #[test]
    fn an_empty_list_may_be_null() {
        let list: List<'_> =
            serde_json::from_str(r#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap();
        assert!(list.items.is_none() && list.metadata.resource_version.as_deref() == Some("7"));
    }
}
