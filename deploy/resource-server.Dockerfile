# The resource server of examples/, for compose.yaml's profile "gateway". Its context is the folder examples.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim
WORKDIR /app
COPY token-verifier token-verifier
COPY resource-server-fastapi resource-server-fastapi
RUN python -m pip install --no-cache-dir ./token-verifier ./resource-server-fastapi
# A number, so that a cluster can see that it is not root.
USER 10002:10002
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8001/health', timeout=4)"]
CMD ["uvicorn", "resource_server.app:app", "--host", "0.0.0.0", "--port", "8001", "--no-access-log"]
