# docker build -t kronviz . && docker run -p 7860:7860 kronviz
# With a GPU: docker build --build-arg TORCH_INDEX=https://pypi.org/simple …
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /srv/kronviz
COPY requirements.txt ./
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
        "$(grep '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt
RUN useradd --create-home --uid 1000 kronviz
COPY app.py LICENSE ./
COPY kronviz kronviz
COPY assets assets
COPY checkpoints checkpoints
USER kronviz
ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    NUMBA_CACHE_DIR=/home/kronviz/.cache/numba
EXPOSE 7860
CMD ["python", "app.py"]
