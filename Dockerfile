FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY requirements/ requirements/
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt \
 && python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt -r requirements/node.txt
COPY . .
RUN python -m pip wheel --no-deps --no-build-isolation -w /dist . && /venv/bin/pip install --no-deps /dist/*.whl

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 app && install -d -o app /data
COPY --from=build /venv /venv
USER app
WORKDIR /data
VOLUME /data
ENV PATH=/venv/bin:$PATH GQL_APP_DATABASE_URL=sqlite:////data/gql_app.db
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
CMD ["gql-app", "serve", "--host", "0.0.0.0"]
