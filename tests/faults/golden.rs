//! The golden cases that end in a fault, over sockets: the end that they have, and what was said before it.

use crate::bases::SPEECHES;
use crate::said::Said;
use crate::scenario::{Act, Scenario, Text};
use crate::suite::play;
use crate::support::contract::{End, check_stream};
use crate::support::read;
use crate::wire::whole;

fn cases() -> Vec<Scenario> {
    let mut all = Vec::new();
    for speech in SPEECHES {
        for (case, body) in speech.cases() {
            let golden = check_stream(&read(&case.folder.join("downstream.sse")), true).unwrap();
            let End::Fault(end) = &golden.end else { continue };
            let acts = vec![Act::Write(whole(speech, "", &body))];
            let scenario = Scenario::new(case.label(), speech, acts, end, Text::All(Said::to(&golden)));
            all.extend([scenario.as_object(), scenario]);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_golden_cases_is_told_alike_in_four_places() {
    play("golden", cases()).await;
}
