//! Images, files, sound and video of a chat as parts.

use std::borrow::Cow;

use url::Url;

use super::Host;
use super::wire::{Blob, File, Kind};
use crate::chat::RequestError;
use crate::chat::message::{Media, Place, Source};

/// What the end of a name says about its bytes.
const TYPES: &[(&str, &str)] = &[
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
    ("flac", "audio/flac"),
    ("aac", "audio/aac"),
    ("m4a", "audio/m4a"),
    ("mp4", "video/mp4"),
    ("mov", "video/mov"),
    ("webm", "video/webm"),
    ("mpeg", "video/mpeg"),
];

/// A medium as a part; `base_url` is where files have their names.
pub(super) fn part<'b>(
    media: &'b Media<'b>,
    host: Host,
    base_url: &Url,
    place: Place,
) -> Result<Kind<'b>, RequestError> {
    Ok(match &media.source {
        Source::Inline { media_type, base64 } => {
            // JSON is text to the API.
            let mime_type = if media_type == "application/json" { "text/plain" } else { media_type };
            Kind::InlineData(Blob { mime_type: Cow::Borrowed(mime_type), data: Cow::Borrowed(base64) })
        }
        Source::Url(url) => file(Cow::Borrowed(url.as_ref()), media),
        Source::Id(id) if id.contains("://") => file(Cow::Borrowed(id.as_ref()), media),
        Source::Id(_) if host == Host::Vertex => {
            let why = "this API has no files by id. Send the file itself, or a gs:// address as file_id.";
            return Err(RequestError::unsupported(place, why));
        }
        Source::Id(id) => {
            let id = id.strip_prefix("files/").unwrap_or(id);
            let base = base_url.as_str().trim_end_matches('/');
            file(Cow::Owned(format!("{base}/files/{id}")), media)
        }
    })
}

fn file<'b>(file_uri: Cow<'b, str>, media: &'b Media<'b>) -> Kind<'b> {
    let mime_type = media.name.as_deref().and_then(type_of).or_else(|| type_of(&file_uri));
    Kind::FileData(File { mime_type: mime_type.map(Cow::Borrowed), file_uri })
}

/// What a name or an address says about its bytes.
fn type_of(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next()?;
    let end = path.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == end).map(|&(_, kind)| kind)
}
