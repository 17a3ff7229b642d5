//! Images, documents, recordings and videos: by the forms that Converse knows, in the request itself or in
//! S3.

use std::borrow::Cow;

use super::wire::{Block, Document, Medium, Source};
use crate::chat::RequestError;
use crate::chat::message::{self, Media, Place};

/// What a medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image.
    Image,
    /// A file, which may be any of them.
    File,
    /// A recording.
    Audio,
    /// A video.
    Video,
}

/// The forms of each kind: a part of the media type or the ending of a name, and Converse's word.
const IMAGES: &[(&str, &str)] =
    &[("png", "png"), ("jpeg", "jpeg"), ("jpg", "jpeg"), ("gif", "gif"), ("webp", "webp")];
const DOCUMENTS: &[(&str, &str)] = &[
    ("pdf", "pdf"),
    ("csv", "csv"),
    ("msword", "doc"),
    ("doc", "doc"),
    ("vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("docx", "docx"),
    ("vnd.ms-excel", "xls"),
    ("xls", "xls"),
    ("vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("xlsx", "xlsx"),
    ("html", "html"),
    ("markdown", "md"),
    ("md", "md"),
    ("plain", "txt"),
    ("txt", "txt"),
    ("json", "txt"),
];
const RECORDINGS: &[(&str, &str)] = &[
    ("wav", "wav"),
    ("x-wav", "wav"),
    ("mp3", "mp3"),
    ("mpeg", "mp3"),
    ("aac", "aac"),
    ("flac", "flac"),
    ("ogg", "ogg"),
    ("opus", "opus"),
    ("m4a", "m4a"),
    ("mp4", "mp4"),
    ("pcm", "pcm"),
    ("pcm16", "pcm"),
    ("webm", "webm"),
];
const VIDEOS: &[(&str, &str)] = &[
    ("mp4", "mp4"),
    ("quicktime", "mov"),
    ("mov", "mov"),
    ("webm", "webm"),
    ("x-matroska", "mkv"),
    ("mkv", "mkv"),
    ("x-flv", "flv"),
    ("flv", "flv"),
    ("mpeg", "mpeg"),
    ("mpg", "mpg"),
    ("x-ms-wmv", "wmv"),
    ("wmv", "wmv"),
    ("3gpp", "three_gp"),
    ("3gp", "three_gp"),
];

/// The block of a medium. `documents` are the names that were given before: Converse wants them to differ.
pub(super) fn block<'b>(
    kind: Kind,
    media: &'b Media<'b>,
    place: Place,
    documents: &mut Vec<String>,
) -> Result<Block<'b>, RequestError> {
    let unknown = || {
        let why = "this API does not know its form. Send an image as png, jpeg, gif or webp, a document as \
                   pdf, csv, doc, docx, xls, xlsx, html, txt or md, a recording or a video in a usual form.";
        RequestError::unsupported(place, why)
    };
    let (source, mut words) = match &media.source {
        message::Source::Inline { media_type, base64 } => {
            let (main, sub) = media_type.split_once('/').unwrap_or(("", media_type));
            (Source::Bytes(Cow::Borrowed(base64.as_ref())), vec![main, sub])
        }
        message::Source::Url(url) if url.starts_with("s3://") => {
            (Source::S3Location { uri: Cow::Borrowed(url.as_ref()) }, vec!["", ending(url)])
        }
        message::Source::Url(_) => {
            let why = "this API fetches nothing from the web. Send a data URI, or an address in S3 (s3://…).";
            return Err(RequestError::unsupported(place, why));
        }
        message::Source::Id(_) => {
            let why = "this API stores no files. Send the file itself, or an address in S3 (s3://…).";
            return Err(RequestError::unsupported(place, why));
        }
    };
    // The name of a file tells more than `application/octet-stream`, but less than any other type.
    words.push(media.name.as_deref().map_or("", ending));
    let form = |forms: &[(&str, &'static str)]| {
        let found = words.iter().skip(1).find_map(|word| {
            forms.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|&(_, form)| form)
        });
        found.ok_or_else(unknown)
    };
    let main = words.first().copied().unwrap_or_default();
    let is = |asked: Kind, family: &str| kind == asked || kind == Kind::File && main == family;
    if is(Kind::Image, "image") {
        return Ok(Block::Image(Medium { format: form(IMAGES)?, source }));
    }
    if is(Kind::Audio, "audio") {
        return Ok(Block::Audio(Medium { format: form(RECORDINGS)?, source }));
    }
    if is(Kind::Video, "video") {
        return Ok(Block::Video(Medium { format: form(VIDEOS)?, source }));
    }
    let format = match form(DOCUMENTS) {
        Ok(format) => format,
        Err(_) if main == "text" => "txt",
        Err(error) => return Err(error),
    };
    let name = name(media.name.as_deref().unwrap_or("document"), documents);
    Ok(Block::Document(Document { format, name, source }))
}

/// The ending of a file's name.
fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// A document's name in the characters that Converse takes, without its ending, and unlike those before it.
fn name(name: &str, documents: &mut Vec<String>) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let text: String = stem.chars().map(|c| if fits(c) { c } else { ' ' }).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = if words.is_empty() { "document".to_owned() } else { words.join(" ") };
    let plain: String = plain.chars().take(180).collect();
    let mut name = plain.clone();
    let mut count = 1;
    while documents.contains(&name) {
        count += 1;
        name = format!("{plain} {count}");
    }
    documents.push(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_documents_are_plain_and_differ() {
        let mut documents = Vec::new();
        for (written, expect) in [
            ("Report_2024 (final).v2.pdf", "Report 2024 (final) v2"),
            ("Report 2024 (final) v2.csv", "Report 2024 (final) v2 2"),
            ("über.txt", "ber"),
            ("…", "document"),
            ("document", "document 2"),
        ] {
            assert_eq!(name(written, &mut documents), expect);
        }
    }
}
