# A PostgreSQL for docker-compose.yml, from Debian's own packages: no other registry is needed.
FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends postgresql-common && \
    echo "create_main_cluster = false" >>/etc/postgresql-common/createcluster.conf && \
    apt-get install -y --no-install-recommends postgresql-15 && \
    rm -rf /var/lib/apt/lists/* && \
    install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data/15
COPY postgres-entrypoint /usr/local/bin/
USER postgres
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# Fast shutdown: SIGTERM would wait for the last client.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=2s --timeout=3s --retries=30 CMD ["pg_isready", "-h", "127.0.0.1"]
ENTRYPOINT ["postgres-entrypoint"]
