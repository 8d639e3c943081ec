//! What texts a rule means.

use std::sync::Arc;

use super::expression::Expression;

/// A text, its beginning or end, or what an expression fits: `abc`, `abc*`, `*abc`, and `*` for any that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    Present,
    Fits(Arc<Expression>),
    /// A path, segment by segment.
    Template(Arc<[Piece]>),
}

/// A piece of a path's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Arc<str>),
    /// `{*}`: one segment.
    Segment,
    /// `{**}`: any number of segments.
    Segments,
}

impl Pattern {
    pub fn of(text: &str) -> Self {
        match (text.strip_suffix('*'), text.strip_prefix('*')) {
            (Some(""), _) => Self::Present,
            (Some(prefix), _) => Self::Prefix(prefix.into()),
            (None, Some(suffix)) => Self::Suffix(suffix.into()),
            (None, None) => Self::Exact(text.into()),
        }
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => **wanted == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Present => !text.is_empty(),
            Self::Fits(expression) => expression.fits(text),
            Self::Template(pieces) => fits_template(pieces, text),
        }
    }

    /// Whether the parts, one after the other, are such a text.
    pub fn matches_joined(&self, parts: &[&str]) -> bool {
        let bytes = || parts.iter().flat_map(|part| part.bytes());
        match self {
            Self::Exact(wanted) => bytes().eq(wanted.bytes()),
            Self::Prefix(prefix) => bytes().take(prefix.len()).eq(prefix.bytes()),
            Self::Suffix(suffix) => bytes().rev().take(suffix.len()).eq(suffix.bytes().rev()),
            Self::Present => bytes().next().is_some(),
            Self::Fits(expression) => expression.fits(&parts.concat()),
            Self::Template(pieces) => fits_template(pieces, &parts.concat()),
        }
    }
}

/// Nothing but a literal follows [`Piece::Segments`].
fn fits_template(pieces: &[Piece], text: &str) -> bool {
    match pieces {
        [] => text.is_empty(),
        [Piece::Literal(literal), rest @ ..] => {
            text.strip_prefix(&**literal).is_some_and(|text| fits_template(rest, text))
        }
        [Piece::Segment, rest @ ..] => {
            let end = text.find('/').unwrap_or(text.len());
            end > 0 && fits_template(rest, &text[end..])
        }
        [Piece::Segments, Piece::Literal(end), ..] => text.ends_with(&**end),
        [Piece::Segments, ..] => true,
    }
}
