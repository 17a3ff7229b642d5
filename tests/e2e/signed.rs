//! Requests to AWS: signed with the credentials of the environment, or sent with a key.

use crate::harness::{KEY, Mock, Proxy, ask};
use crate::support::{golden_folder, read};
use crate::upstream::{Connection, Request, Upstream, response};

const MODEL: &str = "bedrock/anthropic.claude-3-haiku-20240307-v1:0";
const TOKEN: &str = "session-token-4f9c2d7be1a8";

fn credentials(name: &str) -> Option<String> {
    let value = match name {
        "AWS_ACCESS_KEY_ID" => "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY" => KEY,
        "AWS_SESSION_TOKEN" => TOKEN,
        "AWS_REGION" => "eu-central-1",
        _ => return None,
    };
    Some(value.to_owned())
}

fn key(name: &str) -> Option<String> {
    if name == "AWS_BEARER_TOKEN_BEDROCK" { Some(KEY.to_owned()) } else { credentials(name) }
}

fn config(upstream: &Upstream) -> String {
    format!("[providers.bedrock]\nbase_url = \"http://{}\"", upstream.address)
}

async fn answer(upstream: &mut Upstream, bytes: &[u8]) -> Request {
    let (mut connection, request): (Connection, _) = upstream.request().await;
    connection.write(bytes).await;
    request
}

/// A recorded answer, as the provider sends it.
fn recorded() -> Vec<u8> {
    let body = read(&golden_folder().join("bedrock/text/upstream.bin"));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ncontent-length: ";
    [format!("{head}{}\r\n\r\n", body.len()).as_bytes(), &body].concat()
}

#[tokio::test]
async fn a_request_is_signed_with_the_environments_credentials() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start_in(credentials, &config(&upstream)).await;
    let body = ask(MODEL, true);
    // Most clients send a key, whatever it is.
    let headers = [("authorization", "Bearer of-the-client")];
    let bytes = recorded();
    let (reply, request) = tokio::join!(proxy.chat_with(&body, &headers), answer(&mut upstream, &bytes));
    assert_eq!(request.line, "POST /model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream HTTP/1.1");
    let date = request.header("x-amz-date").unwrap();
    let scope = format!("{}/eu-central-1/bedrock/aws4_request", &date[..8]);
    let begin = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    );
    let authorization = request.header("authorization").unwrap();
    assert!(authorization.starts_with(&begin), "{authorization}");
    assert_eq!(request.header("x-amz-security-token"), Some(TOKEN));
    assert_eq!(request.header("accept"), Some("application/vnd.amazon.eventstream"));
    assert!(!format!("{request:?}").contains("of-the-client"));
    assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
}

#[tokio::test]
async fn a_key_is_sent_instead_of_a_signature() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start_in(key, &config(&upstream)).await;
    let body = ask(MODEL, false);
    let bytes = recorded();
    let (reply, request) = tokio::join!(proxy.chat(&body), answer(&mut upstream, &bytes));
    assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(request.header("x-amz-date"), None);
    assert!(reply.text().contains("Hello from the pond."), "{}", reply.text());
}

#[tokio::test]
async fn a_token_that_aws_quotes_is_hidden() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start_in(credentials, &config(&upstream)).await;
    let body = ask(MODEL, true);
    let message = format!(
        r#"{{"message":"The request signature we calculated does not match. The Canonical String was x-amz-security-token:{TOKEN}"}}"#
    );
    let bytes = response("403 Forbidden", &[("content-type", "application/json")], &message);
    let (reply, _) = tokio::join!(proxy.chat(&body), answer(&mut upstream, bytes.as_bytes()));
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("signature we calculated"), "{}", reply.text());
    assert!(!reply.text().contains(TOKEN), "{}", reply.text());
}

/// The key of AWS's published examples, whose secret the mock knows.
fn published(name: &str) -> Option<String> {
    let value = match name {
        "AWS_SECRET_ACCESS_KEY" => "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        _ => return credentials(name),
    };
    Some(value.to_owned())
}

/// The same with a token, and a secret that is another one.
fn mistaken(name: &str) -> Option<String> {
    published(name).map(|value| value.replace("EXAMPLEKEY", "MISTAKENKEY"))
}

#[tokio::test]
async fn the_mock_knows_a_signature_that_is_right() {
    let mock = Mock::start().await;
    let config = format!("[providers.bedrock]\nbase_url = \"http://{}\"", mock.address);
    let proxy = Proxy::start_in(published, &config).await;
    proxy.chat(&ask(MODEL, true)).await.complete(false);
    proxy.chat(&ask(MODEL, false)).await.object();
    let proxy = Proxy::start_in(mistaken, &config).await;
    let error = proxy.chat(&ask(MODEL, true)).await.error(403);
    assert!(error["message"].as_str().unwrap().contains("signature we calculated does not match"), "{error}");
}
