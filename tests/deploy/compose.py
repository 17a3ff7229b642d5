"""What is in deploy/compose, beyond its schema: images are pinned, files exist, names lead somewhere, nothing is
published beyond this machine, and there is no secret in a file."""

import re
import sys
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy/compose"
complaints = []


def complain_unless(right, complaint):
    if not right:
        complaints.append(complaint)


def load(name):
    return yaml.safe_load((FOLDER / name).read_text())


compose = load("compose.yaml")
services = compose["services"]
mounted = {}
for name, service in services.items():
    complain_unless(re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"{name}: {service['image']} is not pinned")
    for port in service.get("ports", []):
        complain_unless(port.startswith("127.0.0.1:"), f"{name}: {port} is published beyond this machine")
    for volume in service.get("volumes", []):
        source, target, *mode = volume.split(":")
        mounted[name, target] = source
        if source.startswith("."):
            complain_unless((FOLDER / source).is_file(), f"{name}: there is no {source}")
            complain_unless(mode == ["ro"], f"{name}: {source} can be written")
        else:
            complain_unless(source in compose["volumes"], f"{name}: there is no volume {source}")
    for variable, value in service.get("environment", {}).items():
        if re.search("KEY|TOKEN|SECRET|PASSWORD", variable):
            complain_unless(value is None, f"{name}: {variable} has a value")
    for word in service.get("command", []):
        for file in re.findall(r"=(/etc/\S+)", word):
            complain_unless((name, file) in mounted, f"{name}: {file} is not mounted")


def reachable(where, url):
    host = re.sub(r"^https?://", "", url).split(":")[0]
    complain_unless(host in services, f"{where}: there is no service {host}")


reachable("millpond", services["millpond"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"])
reachable("load", services["load"]["entrypoint"][-1])

collector = load("collector.yaml")
for name, pipeline in collector["service"]["pipelines"].items():
    for part in ("receivers", "processors", "exporters"):
        for component in pipeline[part]:
            complain_unless(component in collector[part], f"collector: {name} has no {component}")
for exporter in collector["exporters"].values():
    reachable("collector", exporter["endpoint"])
ports = {where.rsplit(":", 1)[1] for where in (
    services["millpond"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"],
    collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"],
)}
complain_unless(len(ports) == 1, f"collector: ports {ports}")
tempo = load("tempo.yaml")
wanted = collector["exporters"]["otlp/tempo"]["endpoint"].rsplit(":", 1)[1]
given = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].rsplit(":", 1)[1]
complain_unless(wanted == given, f"tempo: port {given}, but the collector sends to {wanted}")

sources = {source["uid"]: source for source in load("grafana/datasources.yaml")["datasources"]}
for source in sources.values():
    reachable(source["name"], source["url"])
    for link in source.get("jsonData", {}).get("exemplarTraceIdDestinations", []):
        complain_unless(link["datasourceUid"] in sources, f"{source['name']}: no {link['datasourceUid']}")
complain_unless(sources["tempo"]["url"].endswith(f":{tempo['server']['http_listen_port']}"), "tempo: port")
for provider in load("grafana/dashboards.yaml")["providers"]:
    dashboard = ("grafana", provider["options"]["path"] + "/dashboard.json")
    complain_unless(mounted.get(dashboard) == "../grafana/dashboard.json", "grafana: no dashboard is mounted")
jobs = load("prometheus.yaml")["scrape_configs"]
complain_unless([job["job_name"] for job in jobs] == ["millpond"], "prometheus: the alerts ask for job millpond")
for job in jobs:
    for target in job["static_configs"][0]["targets"]:
        reachable("prometheus", target)

if complaints:
    sys.exit("\n".join(complaints))
