# One image for the receiver and the workers. What is in it is what requirements.lock says, hash by hash.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/alertmend
COPY requirements.lock ./
RUN /opt/alertmend/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY webhook webhook
COPY example example
COPY playbooks playbooks
COPY alerts alerts
# Compiled: without the .pyc files each playbook starts half as fast again.
RUN /opt/alertmend/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/alertmend/bin/python -m compileall -q /opt/alertmend/lib

FROM python:3.11-slim-bookworm
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends openssh-client ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/alertmend alertmend \
    && install -d -o alertmend -g alertmend -m 0700 /var/lib/alertmend
COPY --from=build /opt/alertmend /opt/alertmend
# The library, to be named as `playbooks` or copied from.
COPY playbooks /opt/alertmend/playbooks
ENV PATH=/opt/alertmend/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER alertmend
WORKDIR /var/lib/alertmend
VOLUME /var/lib/alertmend
EXPOSE 9480
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9480/healthz', timeout=2)"]
ENTRYPOINT ["alertmend"]
CMD ["serve", "--config.file=/etc/alertmend/alertmend.yml", "--storage.path=/var/lib/alertmend"]
