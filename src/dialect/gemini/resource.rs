//! Where a model stands: below `models/`, or where its name says if that is the name of a resource.

use url::Url;

use crate::dialect::Target;

/// The API's collections that have models in them, and what they follow in a base URL: a name that begins with
/// one takes the place of that segment and all behind it.
///
/// Source: <https://ai.google.dev/api/generate-content>,
/// <https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest-rpc>
const COLLECTIONS: &[(&str, Option<&str>)] = &[
    ("models", None),
    ("tunedModels", None),
    ("dynamic", None),
    ("publishers", Some("publishers")),
    ("endpoints", Some("publishers")),
    ("projects", Some("projects")),
];

/// The address of a method of the target's model.
pub(super) fn url(target: &Target<'_>, method: &str) -> Url {
    let model = target.model;
    let collection = model.split_once('/').map(|(first, _)| first);
    let known = COLLECTIONS.iter().find(|(name, _)| Some(*name) == collection);
    let Some((_, place)) = known else {
        // Whatever slashes a name has are its own, and are escaped.
        return target.url(["models", format!("{model}:{method}").as_str()]);
    };
    let mut base_url = target.base_url.clone();
    if let (Some(place), Some(segments)) = (place, target.base_url.path_segments()) {
        let segments: Vec<&str> = segments.collect();
        let behind =
            segments.iter().rposition(|segment| segment == place).map_or(0, |at| segments.len() - at);
        if let Ok(mut path) = base_url.path_segments_mut() {
            (0..behind).for_each(|_| _ = path.pop());
        }
    }
    Target { base_url: &base_url, ..*target }.url(format!("{model}:{method}").split('/'))
}
