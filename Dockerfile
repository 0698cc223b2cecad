# The environment of `make install` in an image: docker build -t ecct . && docker run --rm ecct doctor
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/ecct
# What is installed, and nothing of the tests.
COPY Makefile requirements.lock setup.py ./
COPY pyproject.toml README.md LICENSE MANIFEST.in ./
COPY requirements requirements
COPY ecct_tf ecct_tf
COPY cloud cloud
COPY mobile_export mobile_export
RUN make install PYTHON=python3.11

ENV PATH=/opt/ecct/.venv/bin:$PATH
# Mount a folder here: docker run --rm -v "$PWD:/data" ecct simulate --out runs/mine
WORKDIR /data
ENTRYPOINT ["ecct"]
CMD ["--help"]
