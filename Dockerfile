# syntax=docker/dockerfile:1
# millpond's image: the program, the libraries that it needs, the roots of trust, and a user. Nothing else.
#
#   docker build -t millpond .
#   docker run --rm -p 127.0.0.1:8080:8080 -e MILLPOND_LISTEN=0.0.0.0:8080 -e MILLPOND_ALLOW_ANONYMOUS=true millpond
#
# Whoever reaches the published port may ask, without a key: here that is this machine alone.
#
# The root file system is made by deploy/image/rootfs.sh; deploy/image/try.sh runs it without Docker.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /millpond

# The dependencies, a layer that only Cargo.toml and Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
 && touch src/lib.rs \
 && for file in src/main benches/pipeline benches/proxy benches/telemetry; do echo 'fn main() {}' >"$file.rs"; done \
 && cargo build --release --locked \
 && rm -r src

# millpond itself. Cargo goes by times: these files must be newer than the empty ones.
COPY src src
RUN find src -name '*.rs' -exec touch {} + && cargo build --release --locked

COPY LICENSE ./
COPY deploy/image/rootfs.sh deploy/image/
RUN deploy/image/rootfs.sh target/release/millpond /rootfs

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="millpond" \
      org.opencontainers.image.description="A local proxy that turns any LLM provider's stream into one clean OpenAI stream" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs/ /
# millpond.toml is read from here if it is mounted.
WORKDIR /etc/millpond
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/millpond", "health"]
ENTRYPOINT ["/millpond"]
