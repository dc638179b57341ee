# NEVER BUILT, as the Dockerfile. An image with a graph of your own, on top of the image `agenthall`:
#
#   docker build -f deploy/own-graph.Dockerfile -t agenthall-mine path/to/project
#
# The project has a package `my_agent` with a module `agent.py` that has a compiled graph or a factory `graph`, and a
# requirements.txt with what it imports. docs/how-to/serve-your-own-graphs.md says what a graph may be.
# Then set IMAGE=agenthall-mine for compose.yaml.

FROM agenthall
USER root
COPY requirements.txt /tmp/requirements.txt
# The constraints keep the versions that the server was tested with: a conflict ends the build instead of a worker.
RUN /usr/local/bin/python -m pip --python /opt/agenthall/bin/python install --no-cache-dir \
    --constraint /opt/agenthall/constraints.txt -r /tmp/requirements.txt
COPY my_agent /opt/graphs/my_agent
ENV PYTHONPATH=/opt/graphs AGENTHALL_GRAPHS='{"agent": "tools_agent.agent:graph", "mine": "my_agent.agent:graph"}'
USER agenthall
