//! A receiver of OTLP, over HTTP and over gRPC on one port, which keeps everything that it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::harness::listen;

/// The receiver; it ends with the test's runtime.
pub struct Sink {
    pub address: SocketAddr,
    kept: Kept,
}

/// What arrived, in the order that it did.
#[derive(Debug, Default, Clone)]
pub struct Arrived {
    pub traces: Vec<ExportTraceServiceRequest>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub logs: Vec<ExportLogsServiceRequest>,
    /// The headers of each export, whatever its signal.
    pub headers: Vec<HeaderMap>,
    /// Every message as it is on the wire, one after the other.
    pub bytes: Vec<u8>,
}

/// The same value, for all services.
#[derive(Debug, Default, Clone)]
struct Kept(Arc<Mutex<Arrived>>);

impl Sink {
    pub async fn start() -> Sink {
        Sink::on(listen().await)
    }

    /// Receives on a listener.
    pub fn on(listener: TcpListener) -> Sink {
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let grpc = Routes::new(TraceServiceServer::new(kept.clone()))
            .add_service(MetricsServiceServer::new(kept.clone()))
            .add_service(LogsServiceServer::new(kept.clone()));
        let http = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .route("/v1/logs", post(logs))
            // An export of many series is long.
            .layer(DefaultBodyLimit::disable())
            .with_state(kept.clone());
        let router = http.fallback_service(grpc.into_axum_router());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Sink { address, kept }
    }

    /// The variable that sends everything here.
    pub fn endpoint(&self) -> (&'static str, String) {
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address))
    }

    /// Everything that arrived so far.
    pub fn arrived(&self) -> Arrived {
        self.kept.lock().clone()
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap()
    }

    fn trace(&self, headers: HeaderMap, message: ExportTraceServiceRequest) {
        let mut arrived = self.lock();
        arrived.note(headers, &message);
        arrived.traces.push(message);
    }

    fn metric(&self, headers: HeaderMap, message: ExportMetricsServiceRequest) {
        let mut arrived = self.lock();
        arrived.note(headers, &message);
        arrived.metrics.push(message);
    }

    fn log(&self, headers: HeaderMap, message: ExportLogsServiceRequest) {
        let mut arrived = self.lock();
        arrived.note(headers, &message);
        arrived.logs.push(message);
    }
}

impl Arrived {
    fn note(&mut self, headers: HeaderMap, message: &impl Message) {
        self.headers.push(headers);
        self.bytes.extend(message.encode_to_vec());
    }
}

/// What OTLP over HTTP gets for a message: an empty answer, which is all of it accepted.
fn read<M: Message + Default>(headers: &HeaderMap, body: &Bytes) -> Result<M, StatusCode> {
    if headers.get("content-type").is_none_or(|kind| kind != "application/x-protobuf") {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    M::decode(body.as_ref()).map_err(|_| StatusCode::BAD_REQUEST)
}

const PROTOBUF: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];
type Accepted = Result<([(&'static str, &'static str); 1], ()), StatusCode>;

async fn traces(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> Accepted {
    let message = read(&headers, &body)?;
    kept.trace(headers, message);
    Ok((PROTOBUF, ()))
}

async fn metrics(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> Accepted {
    let message = read(&headers, &body)?;
    kept.metric(headers, message);
    Ok((PROTOBUF, ()))
}

async fn logs(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> Accepted {
    let message = read(&headers, &body)?;
    kept.log(headers, message);
    Ok((PROTOBUF, ()))
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.trace(metadata.into_headers(), message);
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.metric(metadata.into_headers(), message);
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Kept {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.log(metadata.into_headers(), message);
        Ok(Response::new(Default::default()))
    }
}
