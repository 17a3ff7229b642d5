//! The endpoints, as a table.

use http::Method;

/// One method of one path.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// The path as it is routed.
    pub(super) path: &'static str,
    /// Its body, JSON or a form, may name a model.
    pub(super) has_model: bool,
    /// Its name in telemetry.
    pub(super) operation: &'static str,
}

impl Endpoint {
    /// The path below `/v1`, with what the client put into it. `None` if that is no segment of a path.
    pub(super) fn segments<'a>(&self, given: &[&'a str]) -> Option<Vec<&'a str>>
    where
        'static: 'a,
    {
        let mut given = given.iter();
        let segments = self.path.split('/').skip(2).map(|segment| match segment.starts_with('{') {
            true => given.next().copied().filter(|given| !matches!(*given, "" | "." | "..")),
            false => Some(segment),
        });
        segments.collect()
    }

    /// True if a request that failed may be sent again: it computes something, or only asks.
    pub(super) fn may_repeat(&self) -> bool {
        self.has_model || self.method == Method::GET
    }
}

const fn model(path: &'static str, operation: &'static str) -> Endpoint {
    Endpoint { method: Method::POST, path, has_model: true, operation }
}

const fn thing(method: Method, path: &'static str, operation: &'static str) -> Endpoint {
    Endpoint { method, path, has_model: false, operation }
}

/// All of them; the rows of one path stand together.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    model("/v1/embeddings", "embeddings"),
    model("/v1/moderations", "moderation"),
    model("/v1/images/generations", "image_generation"),
    model("/v1/images/edits", "image_edit"),
    model("/v1/images/variations", "image_variation"),
    model("/v1/audio/transcriptions", "transcription"),
    model("/v1/audio/translations", "translation"),
    model("/v1/audio/speech", "speech"),
    model("/v1/rerank", "rerank"),
    thing(Method::POST, "/v1/files", "file_create"),
    thing(Method::GET, "/v1/files", "file_list"),
    thing(Method::GET, "/v1/files/{id}", "file_get"),
    thing(Method::DELETE, "/v1/files/{id}", "file_delete"),
    thing(Method::GET, "/v1/files/{id}/content", "file_content"),
    thing(Method::POST, "/v1/uploads", "upload_create"),
    thing(Method::POST, "/v1/uploads/{id}/parts", "upload_part"),
    thing(Method::POST, "/v1/uploads/{id}/complete", "upload_complete"),
    thing(Method::POST, "/v1/uploads/{id}/cancel", "upload_cancel"),
    thing(Method::POST, "/v1/batches", "batch_create"),
    thing(Method::GET, "/v1/batches", "batch_list"),
    thing(Method::GET, "/v1/batches/{id}", "batch_get"),
    thing(Method::POST, "/v1/batches/{id}/cancel", "batch_cancel"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_endpoint() {
        let page = include_str!("../../forward.md");
        for Endpoint { method, path, operation, .. } in ENDPOINTS {
            let row = format!("| `{method} {path}` |");
            let line = page.lines().find(|line| line.contains(&row)).unwrap_or_else(|| panic!("no {row}"));
            assert!(line.contains(&format!("`{operation}`")), "{line}");
        }
    }

    #[test]
    fn what_is_no_segment_leads_nowhere() {
        let content = ENDPOINTS.iter().find(|endpoint| endpoint.operation == "file_content").unwrap();
        assert_eq!(content.segments(&["a/b"]), Some(vec!["files", "a/b", "content"]));
        for given in [&[".."][..], &["."], &[""], &[]] {
            assert_eq!(content.segments(given), None, "{given:?}");
        }
    }
}
