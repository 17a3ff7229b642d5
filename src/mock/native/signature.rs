//! Whether a request to Bedrock has a key, or is signed as it must be (Signature Version 4).
//!
//! Every signature must be well formed. The mock knows the secret of one key, that of AWS's published examples:
//! what is signed with it is signed again and compared.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;

use super::Refused;

const SERVICE: &str = "bedrock";
/// The key whose secret the mock knows.
const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const DIFFERS: &str = "The request signature we calculated does not match the signature you provided. Check your \
                       AWS Secret Access Key and signing method. Consult the service documentation for details.";

/// What an authorization says.
#[derive(Debug)]
struct Signature<'a> {
    key: &'a str,
    region: &'a str,
    /// The time of the request, as `20150830T123600Z`.
    time: &'a str,
    /// The names of the headers that are signed.
    headers: Vec<&'a str>,
    hex: &'a str,
}

/// Refuses a request that has neither a key nor a signature that may be right.
pub(super) fn check(parts: &Parts, body: &[u8]) -> Result<(), Refused> {
    let authorization = header(parts, AUTHORIZATION.as_str());
    if authorization.starts_with("Bearer ") {
        return Ok(());
    }
    let signature = match authorization.strip_prefix("AWS4-HMAC-SHA256 ") {
        Some(rest) => Signature::read(rest, header(parts, "x-amz-date"))?,
        None => return Err(refused("Missing Authentication Token")),
    };
    signature.check_headers(parts)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let may_be_right = signature.hex.len() == 64 && signature.hex.bytes().all(is_hex);
    let is_right = signature.key != KEY || signature.again(parts, body).as_deref() == Some(signature.hex);
    if may_be_right && is_right { Ok(()) } else { Err(refused(DIFFERS)) }
}

impl<'a> Signature<'a> {
    fn read(authorization: &'a str, time: &'a str) -> Result<Signature<'a>, Refused> {
        let parameter = |name: &str| {
            let mut parameters = authorization.split(',').filter_map(|part| part.trim().split_once('='));
            parameters.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let names = ["Credential", "SignedHeaders", "Signature"];
        let [Some(credential), Some(headers), Some(hex)] = names.map(parameter) else {
            let missing = names.into_iter().filter(|name| parameter(name).is_none());
            let missing: Vec<String> =
                missing.map(|name| format!("Authorization header requires '{name}' parameter.")).collect();
            return Err(refused(missing.join(" ")));
        };
        if time.is_empty() {
            let message =
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
            return Err(refused(message));
        }
        let scope: Vec<&str> = credential.split('/').collect();
        let [key, date, region, service, term] = scope[..] else {
            return Err(refused(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        };
        if service != SERVICE {
            return Err(refused(format!("Credential should be scoped to correct service: '{SERVICE}'.")));
        }
        if term != "aws4_request" {
            let message =
                format!("Credential should be scoped with a valid terminator: 'aws4_request', not '{term}'.");
            return Err(refused(message));
        }
        let day = time.split('T').next().unwrap_or_default();
        if date != day {
            return Err(refused(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{day}', from '{time}'."
            )));
        }
        Ok(Signature { key, region, time, headers: headers.split(';').collect(), hex })
    }

    /// The host, the time and all other headers of AWS's must be signed, and what is signed must be there.
    fn check_headers(&self, parts: &Parts) -> Result<(), Refused> {
        if !self.headers.contains(&HOST.as_str()) {
            let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
            return Err(refused(message));
        }
        let names = parts.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-amz-"));
        let unsigned: Vec<&str> = names.filter(|name| !self.headers.contains(name)).collect();
        if !unsigned.is_empty() {
            let names = unsigned.join(", ");
            return Err(refused(format!(
                "There were headers present in the request which were not signed: {names}"
            )));
        }
        if self.headers.iter().any(|name| !parts.headers.contains_key(*name)) {
            return Err(refused(DIFFERS));
        }
        Ok(())
    }

    /// What the signature would be if the mock's own secret had made it.
    fn again(&self, parts: &Parts, body: &[u8]) -> Option<String> {
        let token = header(parts, "x-amz-security-token");
        let token = (!token.is_empty()).then(|| token.to_owned());
        let identity = Credentials::new(KEY, SECRET, token, None, "mock").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(SERVICE)
            .time(time(self.time)?)
            .settings(SigningSettings::default())
            .build()
            .ok()?; // Nothing is missing.
        let url = format!("http://{}{}", header(parts, HOST.as_str()), parts.uri.path_and_query()?);
        // The signer adds these three by itself.
        let own = ["host", "x-amz-date", "x-amz-security-token"];
        let names = self.headers.iter().filter(|name| !own.contains(name));
        let headers = names.map(|name| (*name, header(parts, name)));
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new(parts.method.as_str(), url, headers, body).ok()?; // A URL, as it came.
        let (_, signature) = sign(request, &parameters.into()).ok()?.into_parts(); // As above.
        Some(signature)
    }
}

/// A header's value; "" where it is missing or no text.
fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default() // No text: no value.
}

/// Reads a time such as `20150830T123600Z`.
fn time(text: &str) -> Option<SystemTime> {
    let at = |range| text.get(range);
    let (year, month, day) = (at(0..4)?, at(4..6)?, at(6..8)?);
    let (hour, minute, second) = (at(9..11)?, at(11..13)?, at(13..15)?);
    // Another form is no time.
    humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

fn refused(message: impl Into<String>) -> Refused {
    Refused { status: 403, message: message.into() }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const SCOPE: &str = "AKIDOTHER/20150830/us-east-1/bedrock/aws4_request";

    /// Why a request with this authorization is refused.
    fn refusal(authorization: &str, date: Option<&str>) -> Option<String> {
        let mut request =
            Request::post("/model/m/converse").header("host", "pond").header("authorization", authorization);
        if let Some(date) = date {
            request = request.header("x-amz-date", date);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, b"{}").err().map(|refused| refused.message)
    }

    #[track_caller]
    fn check_refusal(credential: &str, headers: &str, signature: &str, expect: &str) {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={headers}, Signature={signature}"
        );
        let message = refusal(&authorization, Some("20150830T123600Z")).unwrap_or_default();
        assert!(message.starts_with(expect) && message.is_empty() == expect.is_empty(), "{message}");
    }

    #[test]
    fn a_signature_must_be_well_formed() {
        let hex = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        let headers = "host;x-amz-date";
        check_refusal(SCOPE, headers, hex, "");
        check_refusal(SCOPE, headers, "5fa0", DIFFERS);
        check_refusal(SCOPE, headers, &hex.to_uppercase(), DIFFERS);
        check_refusal(SCOPE, "x-amz-date", hex, "'Host' or ':authority' must be");
        check_refusal(SCOPE, "host", hex, "There were headers present in the request");
        check_refusal(SCOPE, "host;x-amz-date;x-amz-target", hex, DIFFERS);
        check_refusal("AKIDOTHER/20150830/us-east-1", headers, hex, "Credential must have exactly 5");
        let scope = |from: &str, to: &str| SCOPE.replace(from, to);
        check_refusal(
            &scope("bedrock", "s3"),
            headers,
            hex,
            "Credential should be scoped to correct service",
        );
        check_refusal(&scope("aws4_", "aws5_"), headers, hex, "Credential should be scoped with a valid");
        check_refusal(&scope("0830", "0831"), headers, hex, "Date in Credential scope does not match");
        // The key that the mock knows did not make it.
        check_refusal(&scope("OTHER", "EXAMPLE"), headers, hex, DIFFERS);
    }

    #[test]
    fn a_request_needs_a_key_or_a_signature() {
        assert_eq!(refusal("Bearer x", None), None);
        assert_eq!(refusal("Basic x", None).unwrap(), "Missing Authentication Token");
        let partly = refusal(&format!("AWS4-HMAC-SHA256 Credential={SCOPE}"), None).unwrap();
        assert_eq!(
            partly,
            "Authorization header requires 'SignedHeaders' parameter. Authorization header requires 'Signature' parameter."
        );
        let whole =
            format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature={}", "0".repeat(64));
        assert!(refusal(&whole, None).unwrap().contains("X-Amz-Date"));
    }
}
