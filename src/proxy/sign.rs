//! Signatures of AWS (Signature Version 4). They hold for minutes, so a request is signed when it is sent.
//!
//! Source: "Create a signed AWS API request", <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};

use crate::config::{Credentials, Upstream};
use crate::error::Error;
use crate::provider::Auth;

/// Signs a request, if its provider wants that and there is no key instead. Nothing of it may change
/// afterwards but headers that AWS does not use.
pub(super) fn sign(upstream: &Upstream, request: &mut Request<Bytes>, now: SystemTime) -> Result<(), Error> {
    match (upstream.auth, &upstream.key, &upstream.credentials) {
        (Auth::SigV4 { service }, None, Some(credentials)) => {
            // The client's own would be taken for the signature.
            request.headers_mut().remove(AUTHORIZATION);
            put_signature(credentials, service, request, now)
        }
        (Auth::SigV4 { .. } | Auth::Bearer | Auth::Header(_), _, _) => Ok(()),
    }
}

fn put_signature(
    credentials: &Credentials,
    service: &str,
    request: &mut Request<Bytes>,
    now: SystemTime,
) -> Result<(), Error> {
    let identity = aws_credential_types::Credentials::new(
        credentials.access_key_id.expose(),
        credentials.secret_access_key.expose(),
        credentials.session_token.as_ref().map(|token| token.expose().to_owned()),
        None,
        "millpond",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&credentials.region)
        .name(service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| Error::Internal)?
        .into();
    let uri = request.uri().to_string();
    // Proxies on the way may change the others.
    let signed = request
        .headers()
        .iter()
        .filter(|(name, _)| **name == CONTENT_TYPE || name.as_str().starts_with("x-amz-"));
    let headers = signed.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))); // Text only.
    let signable =
        SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::Bytes(request.body()))
            .map_err(|_| Error::Internal)?;
    let signed = aws_sigv4::http_request::sign(signable, &parameters).map_err(|_| Error::Internal)?;
    let (instructions, _) = signed.into_parts();
    for header in instructions.into_parts().0 {
        let mut value = HeaderValue::from_str(header.value()).map_err(|_| Error::Internal)?;
        value.set_sensitive(true);
        request.headers_mut().insert(header.name(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Secret;

    /// 2015-08-30T12:36:00Z, the time of the published examples.
    const THEN: u64 = 1_440_938_160;

    fn signed(token: Option<&str>, service: &str, mut request: Request<Bytes>) -> Request<Bytes> {
        let credentials = Credentials {
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Secret::new),
            region: "us-east-1".to_owned(),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(THEN);
        put_signature(&credentials, service, &mut request, now).unwrap();
        request
    }

    #[track_caller]
    fn check(request: &Request<Bytes>, headers: &str, signature: &str) {
        let text = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(text("x-amz-date"), "20150830T123600Z");
        assert!(text("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/"));
        let end = format!("SignedHeaders={headers}, Signature={signature}");
        assert!(text("authorization").ends_with(&end), "{}", text("authorization"));
    }

    /// The AWS Signature Version 4 test suite: `get-vanilla`, `post-vanilla`,
    /// `get-vanilla-with-session-token`.
    #[test]
    fn the_published_examples_are_signed_as_published() {
        let request = |method: &str| {
            let uri = "https://example.amazonaws.com/";
            Request::builder().method(method).uri(uri).body(Bytes::new()).unwrap()
        };
        check(
            &signed(None, "service", request("GET")),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            &signed(None, "service", request("POST")),
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let temporary = signed(Some(token), "service", request("GET"));
        assert_eq!(temporary.headers()["x-amz-security-token"], token);
        check(
            &temporary,
            "host;x-amz-date;x-amz-security-token",
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        );
    }

    /// The signature was made by botocore 1.43.11 for the same request.
    #[test]
    fn a_model_with_a_colon_is_signed_as_by_the_official_sdk() {
        let uri = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream";
        let body = r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}"#;
        let request = Request::post(uri)
            .header("content-type", "application/json")
            .header("accept", "application/vnd.amazon.eventstream")
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap();
        check(
            &signed(None, "bedrock", request),
            "content-type;host;x-amz-date",
            "a0a1681394355b7b0e3427a1456fe200340dd29db1674e40b1a11a9115e466c2",
        );
    }
}
