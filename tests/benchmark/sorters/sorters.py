"""The sorters that the tests run, as the command line names them."""

QUICK = "features=svd,detection_method=locally_exclusive,clustering_method=gmm,apply_motion_correction=false"
OURS, FAILING, OTHER = f"huidurep:{QUICK}", "huidurep:weights=nowhere", "simple"
LABELS = {text: text.replace(":", " ").replace(",", " ") for text in (OURS, FAILING, OTHER)}
