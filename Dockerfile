# pgweir's image: built from this tree, run as an unprivileged user. The base needs no registry
# where scripts/make-base-image made it.

# Everything but the program. Before the compiler's stage, so that whoever has a program already
# (integration/test_compose.py) gets this with "--target runtime", and compiles nothing. User and
# group have fixed numbers, for those who give them files.
FROM debian:bookworm-slim AS runtime
RUN apt-get update && \
    apt-get install -y --no-install-recommends \
        libfmt9 libidn12 libpq5 libre2-9 libspdlog1.10 libssl3 libsystemd0 libtomlplusplus3 && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 6432 pgweir && \
    useradd --uid 6432 --gid pgweir --no-create-home --shell /usr/sbin/nologin pgweir && \
    install -d -o pgweir -g pgweir -m 700 /var/lib/pgweir
COPY conf/minimal.toml /etc/pgweir/pgweir.toml
USER pgweir
# The state of clusters, which must outlive the container.
VOLUME /var/lib/pgweir
EXPOSE 6432 9127
STOPSIGNAL SIGTERM
# Is the port answered? bash's own /dev/tcp, so that the image needs no client.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PGWEIR_PORT:-6432}"]
ENTRYPOINT ["pgweir"]
CMD ["run", "-c", "/etc/pgweir/pgweir.toml"]

FROM debian:bookworm-slim AS build
WORKDIR /source
COPY scripts/install-dependencies scripts/
RUN scripts/install-dependencies build && rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt CMakePresets.json ./
COPY include include
COPY src src
RUN cmake --preset release && cmake --build --preset release && \
    strip --strip-debug build/release/pgweir

FROM runtime
COPY --from=build /source/build/release/pgweir /usr/local/bin/pgweir
