# The production image. docs/operations.md says how to run it, and tests/replay_dockerfile.py replays these steps
# where there is no container engine.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS builder
WORKDIR /app

# On their own, so that a change of our code does not install them anew. Wheels alone: there is no compiler here.
COPY requirements.txt ./
RUN python -m venv --without-pip /opt/venv && \
    python -m pip --python /opt/venv/bin/python install \
        --no-cache-dir --only-binary :all: --require-hashes --requirement requirements.txt

# What .dockerignore lets through.
COPY . .
# The settings of production ask for secrets. These are drawn for this one command and kept nowhere.
RUN secret() { python -c 'import secrets; print(secrets.token_urlsafe(48))'; } && \
    AUTH_SERVICE__SECRET_KEY="$(secret)" \
    AUTH_SERVICE__TOKEN_KEYS="$(secret)" \
    AUTH_SERVICE__KEY_ENCRYPTION_KEYS="$(secret)" \
    AUTH_SERVICE__JWT_ISSUER=https://build.invalid \
    AUTH_SERVICE__DB_URL=sqlite://:memory: \
    /opt/venv/bin/python -B manage.py collectstatic --noinput
# The server cannot write its bytecode. Whoever copied the sources with a strict umask must not lock it out.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash . && \
    chmod -R u=rwX,go=rX .

# Argon2 for processors that have AVX2 or AVX-512. For others, and for other machines than x86-64, nothing is built, and libsodium hashes
# passwords. The image of Python that is not slim has a compiler.
FROM python:${PYTHON_VERSION} AS argon2
WORKDIR /build
COPY deploy/build_argon2.py ./
RUN python build_argon2.py /opt/argon2

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="authserver" \
      org.opencontainers.image.description="An OAuth 2 authorization server" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# A number that stays, for who mounts secrets into it.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin authserver
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AUTH_SERVICE__LIBARGON2=libargon2-hwcaps.so.1
# The base image comes without the bytecode of Python's own library, and nobody here may write it: each start, and each health check,
# would compile anew what it imports.
RUN python -m compileall -q -x '/(site-packages|tests?)/' --invalidation-mode unchecked-hash \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=argon2 /opt/argon2 /usr/local/lib
RUN ldconfig
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
# A number, so that a cluster can see that it is not root.
USER 10001:10001
EXPOSE 8003
# It needs a read-only root, and /tmp and /dev/shm to write to.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "deploy/healthcheck.py"]
# gunicorn lets requests end for 25 seconds: give it 30 before it is killed.
STOPSIGNAL SIGTERM
CMD ["gunicorn", "-c", "authserver/gunicorn.py"]
