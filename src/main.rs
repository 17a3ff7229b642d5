use millpond::{dialect::AnyDialect, filter, provider::Provider};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dialect = args
        .get(1)
        .and_then(|p| Provider::find(p))
        .map_or(AnyDialect::plain("openai-chat").unwrap(), |p| p.dialects[0].dialect);
    let options = filter::Options {
        dialect,
        include_usage: true,
        object: args.iter().any(|a| a == "--object"),
        frame_limit: 16 << 20,
    };
    let report = filter::normalize(options, &mut std::io::stdin(), &mut std::io::stdout()).unwrap();
    eprint!("{}", String::from_utf8(report.to_json()).unwrap());
}
