"""What tests of hubs share: a hub on this machine that huggingface_hub takes for the one that it knows."""

from hub_server import cache as cache
from hub_server import hub as hub
