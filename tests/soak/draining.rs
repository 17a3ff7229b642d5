//! A stop under running streams: those that end within the drain lose nothing.

use std::time::Instant;

use serde_json::json;
use tokio::task::JoinSet;

use crate::ALONE;
use crate::client::Client;
use crate::harness::{ask, provider};
use crate::process::Mock;
use crate::program::Program;
use crate::support::contract::{Answer, End, check_stream};

const STREAMS: usize = 60;

/// A request for a short answer.
fn request(fault: &str) -> serde_json::Value {
    let mut body = ask(&format!("mine/demo/openai{fault}"), true);
    body["max_tokens"] = json!(10);
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_end_within_the_drain_lose_nothing() {
    let _alone = ALONE.lock().await;
    let mock = Mock::start();
    let program = Program::start("soak_draining", &provider("mine", mock.address, ""), &[]).await;
    let whole = program.chat(&request("")).await.complete(false);
    let mut asking = JoinSet::new();
    for _ in 0..STREAMS {
        let address = program.address;
        asking.spawn(async move {
            // A piece every 250 ms: all are in the middle of their answers when the program is to stop.
            let mut client = Client::ask(address, &request("/slow")).await;
            assert_eq!(client.head().await.status, 200);
            client
        });
    }
    let running = asking.join_all().await;
    let active = "millpond_streams_active{gen_ai_provider_name=\"mine\"}";
    program.until_series(active, &STREAMS.to_string()).await;
    let stopped = Instant::now();
    program.signal();
    let mut ending = JoinSet::new();
    for mut client in running {
        ending.spawn(async move { client.rest().await });
    }
    let mut lost = 0;
    for said in ending.join_all().await {
        let Answer { choices, end, .. } = check_stream(said.as_bytes(), false).unwrap();
        let is_whole = end == End::Complete && choices[&0].text == whole.choices[&0].text;
        lost += usize::from(!is_whole);
    }
    let ended = program.ended().await;
    println!("{STREAMS} streams under a stop: {lost} lost; the program ended after {:?}", stopped.elapsed());
    assert_eq!(lost, 0);
    let complete = ended.requests().iter().filter(|line| line["end"] == "complete").count();
    assert_eq!(complete, STREAMS + 1);
}
