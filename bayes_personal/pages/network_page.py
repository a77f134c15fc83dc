"""The page of a network: its networks at a few contexts, its edges, and its nodes."""

from typing import Any

from bayes_personal.pages.contents import environment, estimates, hyperpriors, image
from bayes_personal.pages.network_plots import WORDS, panels, plot_edges, plot_network
from bayes_personal.posterior.network_posterior import NetworkPosterior

# Edges in the table of the strongest ones.
STRONGEST = 12


def network_page(posterior: NetworkPosterior, shared: dict[str, Any]) -> str:
    """Return the page; `shared` holds what pages of models have too."""
    model = posterior.model
    kind = model.reading
    table, titles = panels(posterior, None, kind)
    at = table.index.map(dict(enumerate(titles)))
    table = table.assign(at=at, size=table["mean"].abs()).nlargest(STRONGEST, "size")
    nodes = [{"name": name, "posterior": node, "words": node.complaints[0] if node.complaints else "no complaint",
              "diagnostics": str(node.diagnostics).splitlines(), "estimates": estimates(node),
              "hyperpriors": hyperpriors(node)} for name, node in posterior.nodes.items()]
    return environment().get_template("network_report.html").render(
        posterior=posterior, rows=len(posterior.index), story=repr(model).splitlines(), reading=f"{WORDS[kind]}s",
        circles=image(plot_network(posterior, kind=kind)), strongest=table.to_dict("records"),
        arrow="→" if kind == "directed" else "–",
        heat=image(plot_edges(posterior, kind="heat", of=kind)) if model.prior.columns else None, nodes=nodes, **shared)
