"""Renders the Helm chart with Helm, and validates the results against the schemas of Kubernetes.

`deploy_files.py DEPLOY` checks. It prints a JSON object that has the daemon's container in each
rendering, by the rendering's name, or it fails and says why. `deploy_files.py DEPLOY --write`
writes the plain manifests.
"""

import difflib
import json
import pathlib
import sys

import helm_python as helm
import kubernetes_validate
import yaml

NAME = "packet-headers"
# The oldest and the newest version of Kubernetes whose schemas are available.
VERSIONS = ["1.25", "1.37"]
# Plain manifests: the chart with these values.
PLAIN = {
    "packet-headers.yaml": {},
    "packet-headers-privileged.yaml": {"privileged": True},
    "packet-headers-with-tcp-info.yaml": {"tcpInfo": {"enabled": True}},
    "packet-headers-without-ebpf.yaml": {"ebpf": False, "tcpInfo": {"enabled": True}},
    "packet-headers-with-uploader.yaml": {"uploader": {"enabled": True}},
}
# Other values that must render to something valid.
RENDERED = {
    "hybrid": {"tcpInfo": {"enabled": True}, "flags": {"flow-source": "hybrid"}},
    "everything": {
        "tcpInfo": {"enabled": True},
        "uploader": {"enabled": True},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
        "flags": {"interface": ["eth*", "bond0"], "existing": False},
        "imagePullSecrets": [{"name": "registry"}],
        "affinity": {"nodeAffinity": {}},
        "labels": {"team": "measurement"},
        "podAnnotations": {"team": "measurement"},
        "serviceAccount": {"name": "other", "annotations": {"a": "b"}},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "bpf.json"},
    },
    "little": {"scrapeAnnotations": False, "priorityClass": {"create": False, "name": "low"}},
}
# Values that the chart's schema must refuse.
REFUSED = [
    {"privilege": True},
    {"ebpf": False},
    {"flags": {"datadir": "/elsewhere"}},
    {"flags": {"--maxheap": "1GiB"}},
    {"port": "9990"},
    {"data": {"hostPath": "relative"}},
    {"seccompProfile": {"type": "None"}},
]
# Resources of the Prometheus operator. No package has their schemas, so their keys are compared with
# those in its API reference.
OPERATOR = {
    "PodMonitor": {"selector", "podMetricsEndpoints"},
    "PrometheusRule": {"groups"},
}
NAMESPACE = """apiVersion: v1
kind: Namespace
metadata:
  name: packet-headers
  labels:
    # Pods on the node's network and with a directory of the node.
    pod-security.kubernetes.io/enforce: privileged
"""


def render(chart, values):
    """The chart's manifests by template, without the notes."""
    rendered = chart.render(values, name=NAME, namespace=NAME)
    rendered = {pathlib.Path(path).name: text for path, text in rendered.items()}
    del rendered["NOTES.txt"]
    return {name: text.strip() for name, text in sorted(rendered.items()) if text.strip()}


def plain(manifests):
    """One file for kubectl."""
    head = "# Rendered from deploy/helm/packet-headers by tests/python/deploy_files.py, which says with which values.\n"
    return head + "\n---\n".join([NAMESPACE.strip(), *manifests.values()]) + "\n"


def validate(name, text):
    """Every document of a manifest, strictly: an unknown field is an error."""
    documents = [document for document in yaml.safe_load_all(text) if document]
    for document in documents:
        kind = document["kind"]
        if kind in OPERATOR:
            assert set(document["spec"]) == OPERATOR[kind], f"{name}: {kind} has {set(document['spec'])}"
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                sys.exit(f"{name}: {kind} for Kubernetes {version}: {error.message} at {list(error.path)}")
    return documents


def facts(documents):
    """What the daemon's container is given."""
    (daemonset,) = [document for document in documents if document["kind"] == "DaemonSet"]
    pod = daemonset["spec"]["template"]["spec"]
    (container,) = [one for one in pod["containers"] if one["name"] == NAME]
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounts = {mount["name"] for one in pod["containers"] for mount in one["volumeMounts"]}
    assert volumes == mounts, f"volumes {volumes}, mounted {mounts}"
    hosts = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    return {
        "arguments": container["args"],
        "memory": container["resources"]["limits"]["memory"],
        "security": container["securityContext"],
        "mounts": [
            {
                "path": mount["mountPath"],
                "host": hosts.get(mount["name"]),
                "read_only": mount.get("readOnly", False),
            }
            for mount in container["volumeMounts"]
        ],
        "probes": [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")],
        "port": container["ports"][0]["containerPort"],
    }


def main(deploy, write):
    directory = deploy / "helm/packet-headers"
    report = helm.lint(str(directory), strict=True)
    worst = [message for message in report["messages"] if message["severity"] > 1]
    assert not worst and not report["errors"], f"helm lint: {report}"
    found = {}
    with helm.Chart.load(str(directory)) as chart:
        for file, values in PLAIN.items():
            text = plain(render(chart, values))
            path = deploy / "kubernetes" / file
            if write:
                path.write_text(text)
            there = path.read_text().splitlines()
            difference = list(difflib.unified_diff(there, text.splitlines(), file, "the chart", lineterm=""))
            assert not difference, "\n".join(difference)
            found[file] = facts(validate(file, text))
        for name, values in RENDERED.items():
            found[name] = facts(validate(name, plain(render(chart, values))))
        for values in REFUSED:
            try:
                chart.validate_schema(values)
            except helm.HelmError:
                continue
            sys.exit(f"the chart takes {values}")
        everything = render(chart, RENDERED["everything"])
        rules = yaml.safe_load(everything["prometheusrule.yaml"])["spec"]
        assert rules == yaml.safe_load((deploy / "prometheus/alerts.yaml").read_text()), "other rules in the chart"
        board = yaml.safe_load(everything["dashboard.yaml"])["data"]["packet-headers.json"]
        assert json.loads(board) == json.loads((deploy / "grafana/packet-headers.json").read_text())
    validate("podmonitor.yaml", (deploy / "kubernetes/podmonitor.yaml").read_text())
    print(json.dumps(found))


main(pathlib.Path(sys.argv[1]), sys.argv[2:] == ["--write"])
